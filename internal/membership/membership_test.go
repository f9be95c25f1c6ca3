package membership

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func instances(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("instance%02d", i)
	}
	return list
}

func TestEveryBucketHasOneKeeper(t *testing.T) {
	t.Parallel()
	const buckets = 256
	for _, n := range []int{1, 2, 5, 16} {
		all := instances(n)
		kept := make(map[int]string)
		leaders := 0
		for _, self := range all {
			v := view(self, all, buckets)
			for _, b := range v.Own {
				if other, twice := kept[b]; twice {
					t.Errorf("bucket %d is kept by %s and %s", b, other, self)
				}
				kept[b] = self
			}
			if v.Leader {
				leaders++
			}
			if len(v.Own) > 3*buckets/n {
				t.Errorf("one of %d instances keeps %d of %d buckets", n, len(v.Own), buckets)
			}
		}
		if len(kept) != buckets || leaders != 1 {
			t.Errorf("%d instances: %d buckets kept, %d leaders", n, len(kept), leaders)
		}
	}
}

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

// A heartbeat that is asked for comes sooner, but however often somebody asks, there
// are so many in an interval and no more.
func TestPokesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the clock stands still but for what waits
		m := New(Config{Interval: time.Second})
		began := time.Now()
		for range pokes {
			m.Poke()
			m.Poke()
			if !m.wait(t.Context(), nil) {
				t.Error("its context has ended")
			}
		}
		if d := time.Since(began); d != m.c.Interval {
			t.Errorf("%d heartbeats in %v", pokes, d)
		}
		tick := make(chan time.Time, 1)
		tick <- time.Now()
		if began = time.Now(); !m.wait(t.Context(), tick) || !time.Now().Equal(began) {
			t.Error("a heartbeat that nobody asked for has waited")
		}
	})
}
