package ledger

import (
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

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

// An instance of the release before there were instances that only serve knows one list, and
// takes everybody on it for one that looks after buckets. It is on that list itself.
func TestMembersOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	l, rdb := newLedger(t)
	web, worker, earlier := Member{Instance: "web", ServesOnly: true}, Member{Instance: "worker"}, Member{Instance: "earlier"}
	ctx := redistest.Within(t)
	now := float64(time.Now().UnixMilli())
	rdb.ZAdd(ctx, l.keys.instances(), redis.Z{Member: earlier.Instance, Score: now}, redis.Z{Member: "gone", Score: now - 60_000})
	rdb.ZAdd(ctx, l.keys.serving(), redis.Z{Member: "gone", Score: now - 60_000}, redis.Z{Member: "ahead", Score: now + 60_000})
	var got []Member
	for _, m := range []Member{web, worker} {
		var err error
		if got, err = l.Heartbeat(ctx, m, 30*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if want := []Member{earlier, worker, web}; !slices.Equal(got, want) {
		t.Errorf("alive are %v, want %v", got, want)
	}
	if got := rdb.ZRange(ctx, l.keys.instances(), 0, -1).Val(); !slices.Equal(got, []string{"earlier", "worker"}) {
		t.Errorf("the list that the earlier release knows has %v", got)
	}
}
