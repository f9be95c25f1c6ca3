package membership

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// instances returns n names.
func instances(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("instance%02d", i)
	}
	return list
}

// Each bucket is looked after by exactly one instance, one instance leads, and the
// buckets are spread over all of them.
func TestEveryBucketHasOneKeeper(t *testing.T) {
	t.Parallel()
	const buckets = 256
	for _, n := range []int{1, 2, 5, 16} {
		all := instances(n)
		keepers := make(map[int]string)
		leaders := 0
		for _, self := range all {
			v := viewOf(self, all, buckets)
			for _, b := range v.Own {
				if other, twice := keepers[b]; twice {
					t.Errorf("both %s and %s look after bucket %d", other, self, b)
				}
				keepers[b] = self
			}
			if v.Leader {
				leaders++
			}
			if len(v.Own) > 3*buckets/n {
				t.Errorf("one of %d instances looks after %d of %d buckets", n, len(v.Own), buckets)
			}
		}
		if len(keepers) != buckets || leaders != 1 {
			t.Errorf("%d instances look after %d of %d buckets, and %d of them lead, want all buckets and one leader", n, len(keepers), buckets, leaders)
		}
	}
}

// When an instance goes, only the buckets that it looked after move.
func TestAnInstanceMovesOnlyItsShare(t *testing.T) {
	t.Parallel()
	all := instances(8)
	gone := all[3]
	rest := append(append([]string{}, all[:3]...), all[4:]...)
	for b := range 1024 {
		if before, after := Keeper(all, b), Keeper(rest, b); before != gone && before != after {
			t.Errorf("bucket %d moved from %s to %s", b, before, after)
		}
	}
}

// Poke brings a heartbeat forward, but there are never more than maxBeats in an interval,
// however often Poke is called.
func TestPokesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // with a clock that moves only while everything waits
		m := New(Config{Interval: time.Second})
		began := time.Now()
		for range maxBeats {
			m.Poke()
			m.Poke()
			if !m.awaitNextBeat(t.Context(), nil) {
				t.Error("awaitNextBeat says that its context has ended")
			}
		}
		if d := time.Since(began); d != m.c.Interval {
			t.Errorf("%d heartbeats took %v, want %v", maxBeats, d, m.c.Interval)
		}
		tick := make(chan time.Time, 1)
		tick <- time.Now()
		if began = time.Now(); !m.awaitNextBeat(t.Context(), tick) || !time.Now().Equal(began) {
			t.Error("a heartbeat whose time had come was delayed")
		}
	})
}
