package reaper

import (
	"log/slog"
	"sync"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Sink takes claims and runs their hooks.
type Sink interface {
	// Reserve keeps room for claims that the caller is about to ask Redis for, and
	// returns for how many. There are parts callers, which share the free room. 0 means
	// that there is none. Unreserve gives the room back, whether it was used or not.
	Reserve(parts int) int
	Unreserve(n int)
	// MoreRoom returns a channel that is closed when there is more room than now.
	MoreRoom() <-chan struct{}
	// Submit takes claims.
	Submit(claims []*ledger.Claim)
	// HasClaim reports whether the Sink still works on the claim of a session's end.
	HasClaim(id string) bool
}

// Config holds what New needs.
type Config struct {
	Ledger   *ledger.Ledger
	Sink     Sink
	Instance string
	Interval time.Duration // longest pause between two readings of a bucket's due-index
	Lease    time.Duration // how long a claim lasts
	Log      *slog.Logger
}

// Reaper looks for the ended sessions of one server. Its methods are safe for concurrent
// use and never wait for Redis, except for run.
type Reaper struct {
	c      Config
	server string // the server's name; "" without a cluster
	fleet  *shared
	wake   chan struct{} // gets a value when there is something new to look at

	mu          sync.Mutex
	next        map[int]int64       // this reaper's buckets, with when their next entry is due, or never
	toRead      map[int]struct{}    // those of them whose next entry must be read from Redis
	tails       bool                // the latest entries of the due-indexes must be read too; see readTails
	removed     queue               // hints that a live key was deleted or evicted
	expired     queue               // hints that a live key has expired; mostly the due-index says so too
	notSessions map[int]int         // by bucket: how many entries of its due-index name no session of it
	logged      map[string]struct{} // what logOnce has logged something about
	recent      [2]map[string]struct{}
	recentAt    time.Time // when recent[0] was begun; see rememberEnds

	// Only the goroutine of run uses these.
	turns        turns
	lastFullLook time.Time // when every bucket's next entry was last read
	fullLooks    int       // how often that was done
	deepest      int       // how many sessions of one bucket were due at the last look, at most
}

// newReaper returns a reaper that has no buckets.
func newReaper(c Config, s *shared) *Reaper {
	return &Reaper{
		c:           c,
		fleet:       s,
		wake:        make(chan struct{}, 1),
		next:        make(map[int]int64),
		toRead:      make(map[int]struct{}),
		removed:     newQueue(),
		expired:     newQueue(),
		notSessions: make(map[int]int),
		logged:      make(map[string]struct{}),
		recent:      [2]map[string]struct{}{{}, {}},
	}
}

// never is when the next entry of a bucket is due whose due-index is empty.
const never = int64(1) << 60

// setBuckets sets the buckets that this reaper looks after. It looks at all of them.
func (r *Reaper) setBuckets(buckets []int) {
	r.mu.Lock()
	clear(r.next)
	clear(r.toRead)
	for _, b := range buckets {
		r.next[b] = never
		r.toRead[b] = struct{}{}
	}
	r.tails = true
	r.mu.Unlock()
	r.wakeUp()
}

// lookAtAll makes the reaper look at all its buckets: something may have been missed.
func (r *Reaper) lookAtAll() {
	r.mu.Lock()
	for b := range r.next {
		r.toRead[b] = struct{}{}
	}
	r.mu.Unlock()
	r.wakeUp()
}

// lookAtBucket makes the reaper look at one bucket. A bucket that is not this reaper's is
// ignored.
func (r *Reaper) lookAtBucket(bucket int) {
	r.mu.Lock()
	_, own := r.next[bucket]
	if own {
		r.toRead[bucket] = struct{}{}
	}
	r.mu.Unlock()
	if own {
		r.wakeUp()
	}
}

// wakeUp ends the sleep of the goroutine of run.
func (r *Reaper) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// overdue returns for how long the oldest entry in this reaper's due-indexes has been due,
// as far as it has read them.
func (r *Reaper) overdue() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, clock := r.firstDue()
	if first == never {
		return 0
	}
	return time.Duration(max(clock.Unix()-first, 0)) * time.Millisecond
}

// firstDue returns when the first entry of all buckets is due, or never, and the clock that
// this time goes by. The caller holds mu.
func (r *Reaper) firstDue() (at int64, clock *ledger.Clock) {
	at, bucket := never, 0
	for b, next := range r.next {
		if next < at {
			at, bucket = next, b
		}
	}
	return at, r.c.Ledger.Clock(bucket)
}

// setNext sets when the next entry of a bucket is due.
func (r *Reaper) setNext(b int, at int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, own := r.next[b]; own {
		r.next[b] = at
	}
}
