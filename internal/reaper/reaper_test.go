package reaper

import (
	"context"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Ends are claimed when they are due, in all buckets, without any message.
func TestFindsWhatIsDue(t *testing.T) {
	s := newSink(1000)
	r, l := startReapers(t, s, 20*time.Millisecond)
	r.SetBuckets([]int{0, 1, 2, 3})
	want := make(map[string]bool)
	for range 50 {
		want[begin(t, l, 100*time.Millisecond).ID] = true
	}
	for range 50 {
		c := s.next(t)
		if !want[c.ID] || c.Reason != ledger.Expired {
			t.Errorf("claimed %s with the reason %s, want each of the sessions once as expired", c.ID, c.Reason)
		}
		delete(want, c.ID)
	}
}

// Reapers look after their own buckets only, but follow a hint in any bucket.
func TestLooksAfterItsOwnBuckets(t *testing.T) {
	s := newSink(1000)
	r, l := startReapers(t, s, 20*time.Millisecond)
	var other token.Token
	for other.ID == "" || l.Bucket(other.ID) == 0 {
		other = begin(t, l, 50*time.Millisecond)
	}
	r.SetBuckets([]int{0})
	beginIn(t, l, 0, time.Minute)
	sooner := beginIn(t, l, 0, 100*time.Millisecond)
	for c := s.next(t); c.ID != sooner.ID; c = s.next(t) {
		if l.Bucket(c.ID) != 0 {
			t.Errorf("claimed %s of bucket %d, want those of bucket 0 only", c.ID, l.Bucket(c.ID))
		}
	}
	r.Suspect(other.ID, ledger.Expired)
	if c := s.next(t); c.ID != other.ID {
		t.Errorf("claimed %s, want %s, which the hint names", c.ID, other.ID)
	}
}

// A hint that is true becomes the reason of the end. A hint about a live session does
// nothing.
func TestHints(t *testing.T) {
	s := newSink(1000)
	r, l := startReapers(t, s, time.Minute)
	r.SetBuckets([]int{0, 1, 2, 3})
	live, evicted := begin(t, l, time.Minute), begin(t, l, time.Minute)
	rdb := redistest.Client(t, redistest.Shared(t))
	keys, err := rdb.Keys(context.Background(), "*live:"+evicted.ID+":*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("live keys: %v, %v", keys, err)
	}
	if err := rdb.Del(context.Background(), keys[0]).Err(); err != nil {
		t.Fatal(err)
	}
	r.Suspect(live.ID, ledger.Deleted)
	r.Suspect(evicted.ID, ledger.Evicted)
	if c := s.next(t); c.ID != evicted.ID || c.Reason != ledger.Evicted {
		t.Errorf("claimed %s, %s; want %s, evicted", c.ID, c.Reason, evicted.ID)
	}
	// A hint about an end that was found here is ignored.
	r.Suspect(evicted.ID, ledger.Expired)
	one := r.reaperOf(0)
	one.mu.Lock()
	hints := one.expired.len() + one.removed.len()
	one.mu.Unlock()
	if hints != 0 {
		t.Errorf("%d hints wait, want none", hints)
	}
	if s.waiting() != 0 {
		t.Errorf("also claimed %s", s.next(t).ID)
	}
}

// No more is claimed than the sink has room for, and the rest as soon as it has more.
func TestFullSink(t *testing.T) {
	s := newSink(3)
	r, l := startReapers(t, s, 20*time.Millisecond)
	for range 20 {
		begin(t, l, time.Millisecond)
	}
	r.SetBuckets([]int{0, 1, 2, 3})
	for range 3 {
		s.next(t)
	}
	for range 17 {
		if n := s.waiting(); n != 0 {
			t.Fatalf("%d claims more than the sink has room for", n)
		}
		s.grow(1)
		s.next(t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.most > 3 || s.room != 0 {
		t.Errorf("%d claims at a time and room for %d left, want 3 at most and 0", s.most, s.room)
	}
}

// A session whose claim the sink still works on is not claimed again, though the lease is
// over: Redis was away, and the renewal or the ack is on its way. Other sessions are, in the
// same bucket too.
func TestOwnClaimIsNotClaimedAgain(t *testing.T) {
	t.Parallel()
	k := newKit(t, redistest.Shared(t), 1000)
	k.setBuckets([]int{0, 1, 2, 3})
	leaseOver := func() string { // ends a session, with a claim whose lease is over at once
		s := begin(t, k.c.Ledger, time.Hour)
		terms := ledger.ClaimTerms{Token: "i:" + s.ID, Lease: time.Millisecond}
		if _, ok, err := k.c.Ledger.End(context.Background(), s.ID, s.Proof(), "why", terms); !ok || err != nil {
			t.Fatalf("end: %v, %v", ok, err)
		}
		return s.ID
	}
	own := leaseOver()
	k.sink.own = own
	other := leaseOver()
	for k.c.Ledger.Bucket(other) != k.c.Ledger.Bucket(own) {
		other = leaseOver()
	}
	k.rounds("the other session is claimed", func() bool { return k.sink.got[other] == 1 })
	k.suspect(own, ledger.Deleted)
	k.lookAtAll()
	k.round()
	if n := k.sink.got[own]; n != 0 {
		t.Errorf("claimed %d times while the sink still works on its claim", n)
	}
	if p := k.pause(); p > 2*ownClaimPause*time.Millisecond {
		t.Errorf("the reaper sleeps for %v, want it to look again soon", p)
	}
	k.sink.own = ""
	k.rounds("the session is claimed when the sink is done with it", func() bool { return k.sink.got[own] == 1 })
}
