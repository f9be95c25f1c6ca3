package reaper

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

const (
	// batch is how many sessions of one bucket a look takes, at most, and minBatch how
	// many where the room of the sink is small.
	batch    = 128
	minBatch = 32
	// minDepth is how many sessions of one bucket a look takes, at most, until as many
	// were found due.
	minDepth = 8

	// ownClaimPause is after how many milliseconds a session is looked at again whose
	// lease is over while the sink of this instance still works on its claim. Redis was
	// away, and is about to get the ack or the renewal. A new claim would run the hooks
	// twice.
	ownClaimPause = 50

	// movingPause is after how many milliseconds a bucket is looked at again whose slot is
	// being moved to another server.
	movingPause = 100
)

// readHeads reads, for the buckets that need it, when their next entry is due.
func (r *Reaper) readHeads(ctx context.Context) error {
	r.mu.Lock()
	buckets := slices.Collect(maps.Keys(r.toRead))
	clear(r.toRead)
	r.mu.Unlock()
	if len(buckets) == 0 {
		return nil
	}
	heads, err := r.c.Ledger.Heads(ctx, buckets, 1)
	if err != nil {
		r.mu.Lock()
		for _, b := range buckets {
			r.toRead[b] = struct{}{}
		}
		r.mu.Unlock()
		return err
	}
	for i, b := range buckets {
		r.reportHead(b, heads[i])
		at := never
		if h := heads[i]; len(h.Entries) > 0 {
			at = h.Entries[0].At
		} else if h.NotSessions > 0 || len(h.ImpossibleTimes) > 0 {
			at = r.c.Ledger.Clock(b).Unix() - 1 // something that is due may be behind them
		}
		r.setNext(b, at)
	}
	return nil
}

// dueBuckets returns the buckets that have an entry that is due, the oldest entry first.
func (r *Reaper) dueBuckets() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var due []int
	for b, at := range r.next {
		if at < r.c.Ledger.Clock(b).Unix() {
			due = append(due, b)
		}
	}
	slices.SortFunc(due, func(a, b int) int { return cmp.Compare(r.next[a], r.next[b]) })
	return due
}

// lookDue looks at up to n sessions of each bucket that are due.
func (r *Reaper) lookDue(ctx context.Context, buckets []int, n int) error {
	// Mostly few are due at a time, and more entries would be read for nothing.
	notSessions := r.mostNotSessions(buckets)
	if notSessions == 0 {
		n = min(n, max(minDepth, 2*r.deepest))
	}
	heads, err := r.c.Ledger.Heads(ctx, buckets, n+1+notSessions)
	if err != nil {
		return err
	}
	if err := r.correctTimes(ctx, buckets, heads); err != nil {
		return err
	}
	picks := r.pickDue(buckets, heads, n)
	if len(picks) == 0 {
		return nil
	}
	return r.lookAtPicks(ctx, picks)
}

// pick is what a look at what is due takes from one bucket.
type pick struct {
	bucket   int
	suspects []ledger.Suspect // the sessions to look at
	rest     int64            // when the first entry of the others is due, or never
}

// pickDue returns up to n sessions of each bucket that are due, from the beginnings of the
// due-indexes. Buckets with none are left out: when their next entry is due is known then.
// It also notes how many there were, for the next look.
func (r *Reaper) pickDue(buckets []int, heads []ledger.Head, n int) []pick {
	before := r.deepest
	r.deepest = 0
	var picks []pick
	for i, b := range buckets {
		r.reportHead(b, heads[i])
		p := r.pickFrom(b, heads[i], n)
		r.deepest = max(r.deepest, len(p.suspects), len(heads[i].ImpossibleTimes))
		if len(p.suspects) == n { // there may be as many as before, with less room for them
			r.deepest = max(r.deepest, before)
		}
		if len(p.suspects) == 0 {
			r.setNext(b, p.rest)
			continue
		}
		picks = append(picks, p)
	}
	return picks
}

// pickFrom returns up to n sessions of one bucket that are due, without those whose claim
// the sink still works on.
func (r *Reaper) pickFrom(b int, h ledger.Head, n int) pick {
	p := pick{bucket: b, rest: never}
	ownClaim := false
	now := r.c.Ledger.Clock(b).Unix()
	for _, d := range h.Entries {
		if d.At >= now || len(p.suspects) == n {
			p.rest = d.At
			break
		}
		if r.c.Sink.HasClaim(d.ID) {
			ownClaim = true
			continue
		}
		p.suspects = append(p.suspects, ledger.Suspect{ID: d.ID})
	}
	if ownClaim {
		p.rest = min(p.rest, now+ownClaimPause)
	}
	return p
}

// lookAtPicks looks at sessions that are due, and notes when each bucket's next entry is
// due.
func (r *Reaper) lookAtPicks(ctx context.Context, picks []pick) error {
	buckets := make([]int, len(picks))
	suspects := make([][]ledger.Suspect, len(picks))
	for i, p := range picks {
		buckets[i], suspects[i] = p.bucket, p.suspects
	}
	found, err := r.lookAt(ctx, buckets, suspects)
	unreadable := make([][]string, len(picks))
	for i := range picks {
		unreadable[i] = r.reportUnreadable(found[i])
	}
	postponed := r.postpone(ctx, buckets, unreadable, unreadableLooks*r.c.Interval) == nil
	for i, p := range picks {
		switch {
		case err != nil:
			r.lookAtBucket(p.bucket)
		case len(unreadable[i]) == len(p.suspects) && !postponed:
			// The rest of the bucket may be like these: wait for the next full look.
			r.setNext(p.bucket, never)
		default:
			r.setNext(p.bucket, r.nextAfter(p, found[i]))
		}
	}
	return err
}

// nextAfter returns when the next entry of a bucket is due, after a look at some of its
// sessions.
func (r *Reaper) nextAfter(p pick, found ledger.Looked) int64 {
	next := p.rest
	if found.Moving {
		next = min(next, r.c.Ledger.Clock(p.bucket).Unix()+movingPause)
	}
	if found.Next != 0 {
		next = min(next, found.Next)
	}
	return next
}

// lookAt looks at sessions, grouped by bucket, and gives the claims that it gets to the
// sink.
func (r *Reaper) lookAt(ctx context.Context, buckets []int, suspects [][]ledger.Suspect) ([]ledger.Looked, error) {
	// The look goes on even if ctx ends: a claim whose reply is not read would be nobody's
	// until its lease is over.
	found, err := r.c.Ledger.Look(context.WithoutCancel(ctx), buckets, suspects, ledger.ClaimTerms{
		Token: ledger.ClaimToken(r.c.Instance, strconv.FormatInt(r.fleet.claims.Add(1), 10)),
		Lease: r.c.Lease,
	})
	for _, f := range found {
		if len(f.Claims) > 0 {
			r.rememberEnds(f.Claims)
			r.c.Sink.Submit(f.Claims)
		}
	}
	return found, err
}
