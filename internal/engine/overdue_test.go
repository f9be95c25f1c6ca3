package engine

import (
	"testing"
	"time"
)

func TestOverdueOfUnattendedBuckets(t *testing.T) {
	t.Parallel()
	var u unattended
	if d, ok := u.overdue(1000); ok {
		t.Errorf("nothing is given up: %v", d)
	}
	u.set([]int{1}, 300*time.Millisecond, 1000)
	if d, ok := u.overdue(1500); !ok || d != 800*time.Millisecond {
		t.Errorf("%v, %v, want 800ms", d, ok)
	}
	u.set([]int{1}, 0, 2000)
	if d, ok := u.overdue(2500); ok {
		t.Errorf("no end was waiting: %v", d)
	}
	u.set([]int{1}, time.Second, 3000)
	u.clear()
	if d, ok := u.overdue(4000); ok {
		t.Errorf("this instance looks after them again: %v", d)
	}
}
