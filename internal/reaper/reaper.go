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
	// maxHints bounds the hints that wait, and the ends that are remembered so
	// as not to be looked at again; what is dropped is found when due.
	maxHints = 100_000

	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second

	// heldPause, in ms, is when an end is looked at again whose lease was over while
	// its claim was held here. Redis was away, and is about to be told; to claim it
	// again would run its hooks twice.
	heldPause = 50
)

// Sink takes claims. Free tells how many it wants; Ready receives when that
// has grown. Holds tells whether it has the claim of a session's end.
type Sink interface {
	Free() int
	Ready() <-chan struct{}
	Submit(claims []*ledger.Claim)
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

// Reaper is the loop over the due-index. Its methods are safe for concurrent
// use and never wait for Redis.
type Reaper struct {
	c    Config
	wake chan struct{}
	seq  int // of claims

	mu      sync.Mutex
	next    map[int]int64       // own bucket -> when its next entry is due
	unread  map[int]struct{}    // own buckets whose next entry is to be read again
	hints   map[string]string   // session -> what was said of it
	expired map[string]string   // the same for Expired: mostly the due-index says so too
	foreign map[int]int         // own bucket -> entries that name no session of it
	broken  map[string]struct{} // what cannot be read, as far as the log says so
	recent  [2]map[string]struct{}
	turned  time.Time
}

// New returns a reaper that looks after nothing yet.
func New(c Config) *Reaper {
	return &Reaper{
		c:       c,
		wake:    make(chan struct{}, 1),
		next:    make(map[int]int64),
		unread:  make(map[int]struct{}),
		hints:   make(map[string]string),
		expired: make(map[string]string),
		foreign: make(map[int]int),
		broken:  make(map[string]struct{}),
		recent:  [2]map[string]struct{}{{}, {}},
	}
}

// Keep sets the buckets that this reaper looks after, and looks at all of them.
func (r *Reaper) Keep(buckets []int) {
	r.mu.Lock()
	clear(r.next)
	clear(r.unread)
	for _, b := range buckets {
		r.next[b] = never
		r.unread[b] = struct{}{}
	}
	r.mu.Unlock()
	r.poke()
}

// LookAtAll asks for a look at every bucket: something may have been missed.
func (r *Reaper) LookAtAll() {
	r.mu.Lock()
	for b := range r.next {
		r.unread[b] = struct{}{}
	}
	r.mu.Unlock()
	r.poke()
}

// LookAt asks for a look at one bucket, if it is this reaper's.
func (r *Reaper) LookAt(bucket int) {
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

// Overdue returns for how long the oldest entry of this reaper's buckets, as far
// as it knows, has been due.
func (r *Reaper) Overdue() time.Duration {
	now := r.c.Ledger.Clock().Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	first := never
	for _, at := range r.next {
		first = min(first, at)
	}
	return time.Duration(max(now-first, 0)) * time.Millisecond
}

func (r *Reaper) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run looks until ctx ends.
func (r *Reaper) Run(ctx context.Context) {
	var (
		full    time.Time // of the last look at everything
		backoff time.Duration
		timer   = time.NewTimer(0)
	)
	defer timer.Stop()
	for {
		if time.Since(full) >= r.c.Interval {
			r.LookAtAll()
			full = time.Now()
		}
		blocked, err := r.look(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := r.pause(full)
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
			ready, wake = r.c.Sink.Ready(), nil
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
func (r *Reaper) pause(full time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := r.c.Interval - time.Since(full)
	if len(r.hints)+len(r.expired)+len(r.unread) > 0 {
		return 0
	}
	first := never
	for _, at := range r.next {
		first = min(first, at)
	}
	if first < never {
		// Redis lets a key go when its clock is past the deadline, not at it.
		wait = min(wait, r.c.Ledger.Clock().Until(first+1))
	}
	return max(wait, 0)
}

// look does one round: reads the buckets of which nothing is known, then looks
// at what is due or hinted at. blocked means that it stopped because the sink
// is full.
func (r *Reaper) look(ctx context.Context) (blocked bool, err error) {
	for ctx.Err() == nil {
		// With every turn: a burst of ends must not hold up what is said meanwhile.
		if err := r.readHeads(ctx); err != nil {
			return false, err
		}
		due := r.dueBuckets()
		hints := r.waitingHints(len(due) > 0)
		if len(due) == 0 && hints == nil {
			return false, nil
		}
		free := r.c.Sink.Free()
		if free <= 0 {
			return true, nil
		}
		if hints != nil {
			if err := r.lookHints(ctx, hints, free); err != nil {
				return false, err
			}
			continue // with what is free now
		}
		// Few buckets deep rather than many flat: each costs a script call.
		n := min(max(free/len(due), minBatch), batch)
		due = due[:min(len(due), max(free/n, 1))]
		if err := r.lookDue(ctx, due, min(n, free)); err != nil {
			return false, err
		}
	}
	return false, nil
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
		} else if h.Foreign > 0 {
			at = r.c.Ledger.Clock().Unix() - 1 // behind them something may be due
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
	now := r.c.Ledger.Clock().Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	var due []int
	for b, at := range r.next {
		if at < now {
			due = append(due, b)
		}
	}
	slices.SortFunc(due, func(a, b int) int { return cmp.Compare(r.next[a], r.next[b]) })
	return due
}

// lookDue looks at up to n due sessions of each bucket.
func (r *Reaper) lookDue(ctx context.Context, buckets []int, n int) error {
	heads, err := r.c.Ledger.Heads(ctx, buckets, n+1+r.mostForeign(buckets))
	if err != nil {
		return err
	}
	now := r.c.Ledger.Clock().Unix()
	suspects := make([][]ledger.Suspect, 0, len(buckets))
	looked := make([]int, 0, len(buckets))
	rest := make([]int64, 0, len(buckets)) // when the first entry not looked at is due
	for i, b := range buckets {
		var due []ledger.Suspect
		r.note(b, heads[i])
		next, held := never, false
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
	for i, b := range looked {
		if err != nil {
			r.LookAt(b)
			continue
		}
		if at := found[i].Next; at != 0 {
			rest[i] = min(rest[i], at)
		}
		if n := len(found[i].Unreadable); n > 0 && n == len(suspects[i]) {
			// The rest of the bucket may be nothing else: not before the next full look.
			rest[i] = never
		}
		r.setNext(b, rest[i])
	}
	return err
}

func (r *Reaper) lookAt(ctx context.Context, buckets []int, suspects [][]ledger.Suspect) ([]ledger.Looked, error) {
	r.seq++
	found, err := r.c.Ledger.Look(ctx, buckets, suspects, ledger.Lease{
		Token:    r.c.Instance + ":" + strconv.Itoa(r.seq),
		Duration: r.c.Lease,
	})
	for _, f := range found {
		for _, id := range f.Unreadable {
			r.complain(id, "lifecycle: an end cannot be handled, a key of its session was overwritten with something else; delete the key",
				"session", id, "error", f.Err)
		}
		if len(f.Claims) > 0 {
			r.remember(f.Claims)
			r.c.Sink.Submit(f.Claims)
		}
	}
	return found, err
}
