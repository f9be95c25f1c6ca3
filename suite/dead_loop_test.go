package suite_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// deadEnds is the number of dead ends in tests of loops: more than two pages.
const deadEnds = 300

func newManyDead(t *testing.T) *deadApp {
	t.Helper()
	a := newDeadApp(t, shared(t), redistest.Prefix(), lifecycle.WithBuckets(1)).begun()
	for range deadEnds {
		a.fails("ann")
	}
	a.areDead(deadEnds)
	return a
}

// areDead waits until ends have been put into the dead set so many times, and all of them
// are there.
func (a *deadApp) areDead(times int) {
	a.t.Helper()
	redistest.Eventually(a.t, fmt.Sprintf("ends have become dead %d times", times), func() bool {
		return a.m.Stats().Buried == uint64(times) && len(a.ids()) == deadEnds
	})
}

// A loop over Dead returns the oldest ends first. The caller may leave it. It ends with the
// error of its context.
func TestLoopsOverDeadEnds(t *testing.T) {
	t.Parallel()
	a := newManyDead(t)
	all := a.list()
	if !slices.IsSortedFunc(all, func(x, y *lifecycle.DeadEnd) int { return x.BuriedAt.Compare(y.BuriedAt) }) {
		t.Error("the oldest ends do not come first")
	}
	n := 0
	for _, err := range a.m.Dead(redistest.Within(t)) {
		if n++; n == 2 || err != nil {
			break
		}
	}
	ctx, cancel := context.WithCancel(redistest.Within(t))
	defer cancel()
	n = 0
	var failed error
	for d, err := range a.m.Dead(ctx) {
		if failed != nil || (d == nil) != (err != nil) {
			t.Errorf("after the error: %v, %v", d, err)
		}
		if failed = err; err == nil {
			n++
			cancel()
		}
	}
	if n != 1 || !errors.Is(failed, context.Canceled) {
		t.Errorf("a cancelled loop returned %d ends, then %v", n, failed)
	}
}

// A loop may retry the ends that it returns. Ends that become dead again meanwhile do not
// come a second time, so the loop ends.
func TestRetryingLoopOverDeadEnds(t *testing.T) {
	t.Parallel()
	a := newManyDead(t)
	seen := make(map[string]int)
	for d, err := range a.m.Dead(redistest.Within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		seen[d.Session.ID]++
		if err := a.m.RetryDead(redistest.Within(t), d.Session.ID); err != nil {
			t.Fatal(err)
		}
		if len(seen) == deadEnds/2 {
			a.areDead(deadEnds + deadEnds/2)
		}
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("the loop returned %s %d times", id, n)
		}
	}
	a.areDead(2 * deadEnds)
	if len(seen) != deadEnds {
		t.Errorf("the loop returned %d of %d ends", len(seen), deadEnds)
	}
}

// A loop may drop the ends that it returns. It leaves out an end whose keys are gone.
func TestDroppingLoopOverDeadEnds(t *testing.T) {
	t.Parallel()
	a := newManyDead(t)
	orphan := a.ids()[deadEnds-1]
	a.del(a.key("end:" + orphan))
	n := 0
	for d, err := range a.m.Dead(redistest.Within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if err := a.m.DropDead(redistest.Within(t), d.Session.ID); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != deadEnds-1 {
		t.Errorf("%d ends were dropped, want %d", n, deadEnds-1)
	}
	a.isNotDead(orphan) // which removes the rest of it
	a.nothingLeft()
}
