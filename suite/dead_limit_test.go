package suite_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
)

// WithDeadLimit limits the dead set: the oldest ends are dropped, and nothing of them is
// left. One line of the log says how many were dropped.
func TestDeadLimit(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a := newDeadApp(t, d, p, lifecycle.WithBuckets(2), lifecycle.WithDeadLimit(0),
		tuned(testonly.Tuning{DeadInterval: time.Millisecond}))
	var ids []string
	for range 12 {
		ids = append(ids, a.bury("ann"))
	}
	redistest.Eventually(t, "Stats counts all of them", func() bool { return a.m.Stats().Dead == 12 })
	a.shutdown()
	if s := a.m.Stats(); s.Dropped != 0 || len(a.ids()) != 12 {
		t.Errorf("without a limit: %+v", s)
	}

	b := newDeadApp(t, d, p, lifecycle.WithBuckets(2), lifecycle.WithDeadLimit(3),
		tuned(testonly.Tuning{DeadInterval: time.Millisecond}))
	kept, dropped := b.withinLimit(ids, 3)
	b.start()
	redistest.Eventually(t, "the dead set is within its limit", func() bool {
		s := b.m.Stats()
		return int(s.Dropped) == len(dropped) && s.Dead == len(kept) && b.log.Contains(logDeadLimit)
	})
	got := b.ids()
	slices.Sort(got)
	slices.Sort(kept)
	if !slices.Equal(got, kept) {
		t.Errorf("dead: %v, want %v", got, kept)
	}
	for _, id := range dropped {
		if keys := b.keys("*:" + id + "*"); len(keys) > 0 {
			t.Errorf("left: %v", keys)
		}
		b.isNotDead(id)
	}
	// Each of the two buckets exceeds its share at most once.
	if n := strings.Count(b.log.String(), logDeadLimit); n > 2 || !b.log.Contains("level=ERROR") {
		t.Errorf("the log has %d lines about the limit:\n%s", n, b.log)
	}
	b.quiet()
}

// withinLimit returns which of these dead ends, the oldest first, are kept with a limit,
// and which are dropped: the buckets with the most ends lose some.
func (a *deadApp) withinLimit(ids []string, limit int) (kept, dropped []string) {
	a.t.Helper()
	byBucket := make(map[string][]string) // the latest first
	for _, id := range slices.Backward(ids) {
		bucket := a.key("session:" + id)[len(a.prefix):][:4]
		byBucket[bucket] = append(byBucket[bucket], id)
	}
	buckets := slices.SortedFunc(maps.Keys(byBucket), func(x, y string) int {
		return cmp.Or(len(byBucket[x])-len(byBucket[y]), cmp.Compare(x, y))
	})
	for i, bucket := range buckets {
		ids := byBucket[bucket]
		n := min(len(ids), (limit-len(kept))/(len(buckets)-i))
		kept, dropped = append(kept, ids[:n]...), append(dropped, ids[n:]...)
	}
	return kept, dropped
}

// Nothing is dropped while the dead set is within its limit, however unevenly the ends are
// distributed over the buckets. One end too many makes the library drop one end.
func TestDeadLimitCountsAllBuckets(t *testing.T) {
	t.Parallel()
	const limit = 10
	a := newDeadApp(t, shared(t), redistest.Prefix(), lifecycle.WithBuckets(16), lifecycle.WithDeadLimit(limit),
		tuned(testonly.Tuning{DeadInterval: time.Millisecond}))
	for range limit {
		a.bury("ann")
	}
	if got := len(a.ids()); got != limit {
		t.Fatalf("%d dead ends: %s", got, a.log)
	}
	redistest.Eventually(t, "Stats counts all of them", func() bool { return a.m.Stats().Dead == limit })
	a.fails("ann")
	redistest.Eventually(t, "one end is dropped", func() bool { return a.m.Stats().Dropped > 0 })
	if n, left := a.m.Stats().Dropped, len(a.ids()); n != 1 || left != limit {
		t.Errorf("%d dropped, %d left", n, left)
	}
}
