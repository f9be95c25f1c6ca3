// Package reaper finds ends: it looks at what the due-index says is due, and at
// what a hint says may have ended, and hands the claims on.
package reaper

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

const (
	// batch is how many sessions of one bucket a look takes at most.
	batch    = 128
	minBatch = 32
	// minDepth is how many sessions of a bucket a look takes at most, as long as it
	// does not find so many due.
	minDepth = 8
	// maxHints bounds the hints of each kind that wait, and the ends that are
	// remembered so as not to be looked at again; what is dropped is found when due.
	maxHints = 100_000

	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second

	// heldPause, in ms, is when an end is looked at again whose lease was over while
	// its claim was held here. Redis was away, and is about to be told; to claim it
	// again would run its hooks twice.
	heldPause = 50

	// movingPause, in ms, is when a bucket is looked at again whose slot is on its way
	// to another server.
	movingPause = 100
)

// Sink takes claims.
type Sink interface {
	// Reserve keeps room for claims that are going to be submitted, one of so many
	// parts of what there is, and returns for how many, 0 if there is none.
	// Unreserve gives it back, whether it was used or not.
	Reserve(parts int) int
	Unreserve(n int)
	// Ready returns a channel that is closed when there is more room than now.
	Ready() <-chan struct{}
	Submit(claims []*ledger.Claim)
	// Holds tells whether it has the claim of a session's end.
	Holds(id string) bool
}

// Config is what a Reaper is made of.
type Config struct {
	Ledger   *ledger.Ledger
	Sink     Sink
	Instance string
	Interval time.Duration // longest pause between two looks at a bucket
	Lease    time.Duration
	Log      *slog.Logger
}

// Reaper is the loop over the due-index of one server. Its methods are safe for
// concurrent use and never wait for Redis.
type Reaper struct {
	c     Config
	fleet *shared
	wake  chan struct{}

	mu      sync.Mutex
	next    map[int]int64       // own bucket -> when its next entry is due
	unread  map[int]struct{}    // own buckets whose next entry is to be read again
	tails   bool                // the ends of the due-indexes are to be read
	gone    queue               // hints of live keys that were deleted or evicted
	expired queue               // hints of expired ones: mostly the due-index says so too
	foreign map[int]int         // own bucket -> entries that name no session of it
	broken  map[string]struct{} // what cannot be read, as far as the log says so
	recent  [2]map[string]struct{}
	turned  time.Time

	// Of run alone.
	turns   turns
	full    time.Time // of the last look at everything
	looks   int       // at everything so far
	deepest int       // how many sessions of one bucket were due at the last look
}

// newReaper returns a reaper that looks after nothing yet.
func newReaper(c Config, s *shared) *Reaper {
	return &Reaper{
		c:       c,
		fleet:   s,
		wake:    make(chan struct{}, 1),
		next:    make(map[int]int64),
		unread:  make(map[int]struct{}),
		gone:    newQueue(),
		expired: newQueue(),
		foreign: make(map[int]int),
		broken:  make(map[string]struct{}),
		recent:  [2]map[string]struct{}{{}, {}},
	}
}

// keep sets the buckets that this reaper looks after, and looks at all of them.
func (r *Reaper) keep(buckets []int) {
	r.mu.Lock()
	clear(r.next)
	clear(r.unread)
	for _, b := range buckets {
		r.next[b] = never
		r.unread[b] = struct{}{}
	}
	r.tails = true
	r.mu.Unlock()
	r.poke()
}

// lookAtAll asks for a look at every bucket: something may have been missed.
func (r *Reaper) lookAtAll() {
	r.mu.Lock()
	for b := range r.next {
		r.unread[b] = struct{}{}
	}
	r.mu.Unlock()
	r.poke()
}

// lookAtBucket asks for a look at one bucket, if it is this reaper's.
func (r *Reaper) lookAtBucket(bucket int) {
	r.mu.Lock()
	_, own := r.next[bucket]
	if own {
		r.unread[bucket] = struct{}{}
	}
	r.mu.Unlock()
	if own {
		r.poke()
	}
}

// overdue returns for how long the oldest entry of this reaper's buckets, as far
// as it knows, has been due.
func (r *Reaper) overdue() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, clock := r.first()
	if first == never {
		return 0
	}
	return time.Duration(max(clock.Unix()-first, 0)) * time.Millisecond
}

// first returns when the first entry of all is due, never if there is none, and
// the clock that it goes by. The caller holds mu.
func (r *Reaper) first() (first int64, clock *ledger.Clock) {
	first, bucket := never, 0
	for b, at := range r.next {
		if at < first {
			first, bucket = at, b
		}
	}
	return first, r.c.Ledger.Clock(bucket)
}

func (r *Reaper) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run looks until ctx ends.
func (r *Reaper) run(ctx context.Context) {
	var backoff time.Duration
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		room := r.c.Sink.Ready() // from before the look: what comes free meanwhile counts
		blocked, err := r.look(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := r.pause()
		wake := r.wake
		if err != nil {
			if backoff == 0 {
				r.c.Log.Warn("lifecycle: looking for ended sessions fails, will be retried", "error", err)
			}
			backoff = min(max(2*backoff, minBackoff), maxBackoff)
			wait = backoff/2 + rand.N(backoff)
			wake = nil
		} else if backoff > 0 {
			r.c.Log.Info("lifecycle: looking for ended sessions works again")
			backoff = 0
		}
		var ready <-chan struct{}
		if blocked {
			ready, wake = room, nil
			wait = r.c.Interval
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-wake:
		case <-ready:
		}
	}
}

// pause returns how long there is nothing to do.
func (r *Reaper) pause() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := r.c.Interval - time.Since(r.full)
	if r.gone.len()+r.expired.len()+len(r.unread) > 0 {
		return 0
	}
	if first, clock := r.first(); first < never {
		// Redis lets a key go when its clock is past the deadline, not at it.
		wait = min(wait, clock.Until(first+1))
	}
	return max(wait, 0)
}

// look does one round: reads the buckets of which nothing is known, then looks
// at what is due or hinted at, in turns, until there is nothing more. blocked means
// that it stopped because the sink is full.
func (r *Reaper) look(ctx context.Context) (blocked bool, err error) {
	for ctx.Err() == nil {
		// With every turn: as long as there are hints, or ends come due, there is no
		// end of a round.
		r.lookNowAndThen()
		if err := r.readHeads(ctx); err != nil {
			return false, err
		}
		if err := r.readTails(ctx); err != nil {
			return false, err
		}
		due := r.dueBuckets()
		gone, expired := r.hinted()
		if len(due) == 0 && !gone && !expired {
			return false, nil
		}
		free := r.c.Sink.Reserve(r.fleet.size())
		if free <= 0 {
			return true, nil
		}
		switch r.turns.next(len(due) > 0, gone, expired) {
		case goneTurn:
			err = r.lookHints(ctx, &r.gone, free)
		case expiredTurn:
			err = r.lookHints(ctx, &r.expired, free)
		default:
			// Few buckets deep rather than many flat: each costs a script call.
			n := min(max(free/len(due), minBatch), batch)
			err = r.lookDue(ctx, due[:min(len(due), max(free/n, 1))], min(n, free))
		}
		r.c.Sink.Unreserve(free)
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// lookNowAndThen asks for a look at everything if the last one was long ago.
func (r *Reaper) lookNowAndThen() {
	if time.Since(r.full) < r.c.Interval {
		return
	}
	r.lookAtAll()
	r.full = time.Now()
	if r.looks++; r.looks%tailLooks == 0 {
		r.mu.Lock()
		r.tails = true
		r.mu.Unlock()
	}
}

// readHeads reads when the next entry is due in the buckets that need it.
func (r *Reaper) readHeads(ctx context.Context) error {
	r.mu.Lock()
	unread := slices.Collect(maps.Keys(r.unread))
	clear(r.unread)
	r.mu.Unlock()
	if len(unread) == 0 {
		return nil
	}
	heads, err := r.c.Ledger.Heads(ctx, unread, 1)
	if err != nil {
		r.mu.Lock()
		for _, b := range unread {
			r.unread[b] = struct{}{}
		}
		r.mu.Unlock()
		return err
	}
	for i, b := range unread {
		r.note(b, heads[i])
		at := never
		if h := heads[i]; len(h.Entries) > 0 {
			at = h.Entries[0].At
		} else if h.Foreign > 0 || len(h.Misdated) > 0 {
			at = r.c.Ledger.Clock(b).Unix() - 1 // behind them something may be due
		}
		r.setNext(b, at)
	}
	return nil
}

// never stands for a bucket without entries.
const never = int64(1) << 60

func (r *Reaper) setNext(b int, at int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, own := r.next[b]; own {
		r.next[b] = at
	}
}

// dueBuckets returns the buckets with a due entry, the oldest first.
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

// lookDue looks at up to n due sessions of each bucket.
func (r *Reaper) lookDue(ctx context.Context, buckets []int, n int) error {
	// Mostly few are due at a time, and entries behind those would be read for nothing.
	foreign := r.mostForeign(buckets)
	if foreign == 0 {
		n = min(n, max(minDepth, 2*r.deepest))
	}
	heads, err := r.c.Ledger.Heads(ctx, buckets, n+1+foreign)
	if err != nil {
		return err
	}
	if err := r.redate(ctx, buckets, heads); err != nil {
		return err
	}
	suspects := make([][]ledger.Suspect, 0, len(buckets))
	looked := make([]int, 0, len(buckets))
	rest := make([]int64, 0, len(buckets)) // when the first entry not looked at is due
	deepest := r.deepest
	r.deepest = 0
	for i, b := range buckets {
		var due []ledger.Suspect
		r.note(b, heads[i])
		next, held := never, false
		now := r.c.Ledger.Clock(b).Unix()
		for _, d := range heads[i].Entries {
			if d.At >= now || len(due) == n {
				next = d.At
				break
			}
			if r.c.Sink.Holds(d.ID) {
				held = true
				continue
			}
			due = append(due, ledger.Suspect{ID: d.ID})
		}
		if held {
			next = min(next, now+heldPause)
		}
		r.deepest = max(r.deepest, len(due), len(heads[i].Misdated))
		if len(due) == n { // there may be as many as before, only less room for them
			r.deepest = max(r.deepest, deepest)
		}
		if len(due) == 0 {
			r.setNext(b, next)
			continue
		}
		suspects, looked, rest = append(suspects, due), append(looked, b), append(rest, next)
	}
	if len(looked) == 0 {
		return nil
	}
	found, err := r.lookAt(ctx, looked, suspects)
	broken := make([][]string, len(looked))
	for i := range looked {
		broken[i] = r.unreadable(found[i])
	}
	postponed := r.postpone(ctx, looked, broken, brokenLooks*r.c.Interval) == nil
	for i, b := range looked {
		if err != nil {
			r.lookAtBucket(b)
			continue
		}
		if found[i].Moving {
			rest[i] = min(rest[i], r.c.Ledger.Clock(b).Unix()+movingPause)
		}
		if at := found[i].Next; at != 0 {
			rest[i] = min(rest[i], at)
		}
		if n := len(broken[i]); n > 0 && n == len(suspects[i]) && !postponed {
			// The rest of the bucket may be nothing else: not before the next full look.
			rest[i] = never
		}
		r.setNext(b, rest[i])
	}
	return err
}

func (r *Reaper) lookAt(ctx context.Context, buckets []int, suspects [][]ledger.Suspect) ([]ledger.Looked, error) {
	// Not cut short by the end of this reaper: what was claimed would wait for the end
	// of its lease.
	found, err := r.c.Ledger.Look(context.WithoutCancel(ctx), buckets, suspects, ledger.ClaimTerms{
		Token: r.c.Instance + ":" + strconv.FormatInt(r.fleet.claims.Add(1), 10),
		Lease: r.c.Lease,
	})
	for _, f := range found {
		if len(f.Claims) > 0 {
			r.remember(f.Claims)
			r.c.Sink.Submit(f.Claims)
		}
	}
	return found, err
}
