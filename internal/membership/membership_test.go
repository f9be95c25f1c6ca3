package membership

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
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

// members returns instances that deliver.
func members(names []string) []ledger.Member {
	list := make([]ledger.Member, len(names))
	for i, n := range names {
		list[i].Instance = n
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
			v := viewOf(ledger.Member{Instance: self}, members(all), buckets)
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

// Instances that only serve have no bucket and never lead. They change nothing for the others.
func TestWhoOnlyServesHasNoBucket(t *testing.T) {
	t.Parallel()
	const buckets = 64
	workers := members(instances(3))
	web := ledger.Member{Instance: "web", ServesOnly: true}
	all := append([]ledger.Member{web, {Instance: "web2", ServesOnly: true}}, workers...)
	for _, w := range workers {
		alone, v := viewOf(w, workers, buckets), viewOf(w, all, buckets)
		if !slices.Equal(v.Own, alone.Own) || v.Leader != alone.Leader || v.Instances != 5 || v.Deliverers != 3 {
			t.Errorf("%s: %+v with instances that only serve, %+v without", w.Instance, v, alone)
		}
	}
	if v := viewOf(web, all, buckets); len(v.Own) > 0 || v.Leader || v.Instances != 5 || v.Deliverers != 3 {
		t.Errorf("who only serves: %+v", v)
	}
	if v := viewOf(web, []ledger.Member{web}, buckets); len(v.Own) > 0 || v.Leader || v.Instances != 1 || v.Deliverers != 0 {
		t.Errorf("who only serves and is alone: %+v", v)
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
