package ledger

import (
	"slices"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Heartbeats tell which instances only serve. Each instance leaves under its own name.
func TestMembers(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	web, worker := Member{Instance: "web", ServesOnly: true}, Member{Instance: "worker"}
	for m, want := range map[Member][]Member{web: {web}, worker: {worker}} {
		l, _ := newLedger(t)
		if got, err := l.Heartbeat(redistest.Within(t), m, time.Minute); err != nil || !slices.Equal(got, want) {
			t.Errorf("the first heartbeat of %s: %v, %v", m.Instance, got, err)
		}
	}
	for range 2 {
		for _, m := range []Member{web, worker} {
			if _, err := l.Heartbeat(redistest.Within(t), m, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := l.Heartbeat(redistest.Within(t), web, time.Minute)
	if err != nil || len(got) != 2 || !slices.Contains(got, web) || !slices.Contains(got, worker) {
		t.Errorf("both: %v, %v", got, err)
	}
	if err := l.Leave(redistest.Within(t), web); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Heartbeat(redistest.Within(t), worker, time.Minute); err != nil || !slices.Equal(got, []Member{worker}) {
		t.Errorf("after one has left: %v, %v", got, err)
	}
}
