package delivery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/backoff"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Outcome is what has become of the hooks of an end.
type Outcome struct {
	Err         error  // nil if all have succeeded
	Done        string // which have succeeded, in the Runner's own form; it comes back with the next attempt
	Interrupted bool   // some were not started, because Lease.Check returned an error
}

// Runner runs the hooks of an end.
type Runner interface {
	// Deliver runs the hooks of an end, and returns what has become of them. ctx ends
	// when the instance shuts down. lease is derived from ctx and also ends when another
	// instance has taken the claim over; its Check must be called before each global hook.
	// Deliver must return soon after the contexts of its hooks have ended.
	Deliver(ctx context.Context, lease Lease, c *ledger.Claim) Outcome
	// Hung returns how many hooks were left behind and have not returned yet.
	Hung() int
}

// Retry says what happens to ends whose hooks fail.
type Retry struct {
	Attempts int           // after this many attempts the end goes into the dead set
	Min, Max time.Duration // pause before the next attempt, doubling from Min to Max
}

// delay returns the pause after the given attempt. It is changed by chance, so that ends
// that failed in the same moment do not come back in the same moment.
func (r Retry) delay(attempt int) time.Duration {
	return backoff.ForAttempt(r.Min, r.Max, attempt)
}

// Config holds what New needs.
type Config struct {
	Ledger    *ledger.Ledger
	Runner    Runner
	Instance  string
	Workers   int           // how many ends have their hooks running at a time, at most
	Lease     time.Duration // how long a claim lasts unless it is renewed
	Tombstone time.Duration // how long an acked end stays for other instances that hold hooks of its session
	Retry     Retry
	Log       *slog.Logger
}

// claimsPerWorker is how many tasks there may be for each worker. Those beyond the running
// ones wait here, so that a free worker need not wait for the next round trip to Redis.
const claimsPerWorker = 16

// Delivery runs hooks. Make it with New, start it with Start, and end it with Drain. Its
// other methods are safe for concurrent use.
type Delivery struct {
	c       Config
	counts  *counts
	settle  *settlers
	hookCtx context.Context // the parent of every hook's context
	cancel  context.CancelCauseFunc
	stop    context.CancelFunc // ends the renewal of leases
	wg      sync.WaitGroup     // workers, and the renewal of leases

	mu       sync.Mutex
	wake     *sync.Cond // signaled when there is a task to run, or when draining begins
	queue    []*task    // those that wait
	tasks    map[ledger.ClaimRef]*task
	claims   map[string]int // how many of tasks are claims, by session
	running  int            // tasks whose hooks run
	reserved int            // room that Reserve has given out
	moreRoom chan struct{}  // closed when there is more room; nil if nobody has asked for it
	draining bool
	idle     chan struct{} // closed when draining has begun and no hook runs any more
}

// New returns a delivery that is not started.
func New(c Config) *Delivery {
	d := &Delivery{
		c:      c,
		tasks:  make(map[ledger.ClaimRef]*task),
		claims: make(map[string]int),
		idle:   make(chan struct{}),
	}
	d.wake = sync.NewCond(&d.mu)
	d.hookCtx, d.cancel = context.WithCancelCause(context.Background())
	d.counts = new(counts)
	d.settle = newSettlers(c, d.counts, d.removeSettled)
	return d
}

// Start starts the workers and the renewal of leases. It is called once.
func (d *Delivery) Start() {
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	for range d.c.Workers {
		d.wg.Go(d.work)
	}
	d.wg.Go(func() { d.renewLeases(ctx) })
}

// Reserve keeps room for claims that the caller is about to ask Redis for, and returns for
// how many. There are parts callers, and each gets an equal share of the free room. 0
// means that there is no room, and the caller must not ask for claims. The caller must give
// what it got back with Unreserve, whether it has used it or not.
func (d *Delivery) Reserve(parts int) int {
	hung := d.c.Runner.Hung()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draining || hung >= d.c.Workers {
		return 0
	}
	parts = max(parts, 1)
	n := max((d.c.Workers*claimsPerWorker-len(d.tasks)-d.reserved+parts-1)/parts, 0)
	d.reserved += n
	return n
}

// Unreserve gives back what Reserve returned.
func (d *Delivery) Unreserve(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reserved -= n
	d.signalMoreRoom()
}

// HasClaim reports whether this instance still works on the claim of a session's end: its
// hooks wait or run, or they have run and Redis has not confirmed the settlement yet.
func (d *Delivery) HasClaim(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.claims[id] > 0
}

// MoreRoom returns a channel that is closed when there is more room than now.
func (d *Delivery) MoreRoom() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.moreRoom == nil {
		d.moreRoom = make(chan struct{})
	}
	return d.moreRoom
}

// signalMoreRoom closes the channel that MoreRoom has returned. The caller holds mu.
func (d *Delivery) signalMoreRoom() {
	if d.moreRoom != nil {
		close(d.moreRoom)
		d.moreRoom = nil
	}
}

// Submit takes claims and news whose hooks are to run. A claim without a token is news.
// Submit does not wait. Only after Drain it may take a round trip to Redis: it then
// releases the claims.
func (d *Delivery) Submit(claims []*ledger.Claim) {
	d.mu.Lock()
	if d.draining {
		d.mu.Unlock()
		for _, c := range claims {
			d.release(c)
		}
		return
	}
	defer d.mu.Unlock()
	for _, c := range claims {
		d.add(c)
	}
}

// Drain ends the delivery. It takes no more claims, releases those that wait, and waits
// for the hooks that run. If ctx ends first, Drain cancels these hooks, releases their
// claims too and returns the error of ctx. It is called once, after Start, and when nothing
// asks for claims any more.
func (d *Delivery) Drain(ctx context.Context) error {
	d.mu.Lock()
	d.draining = true
	for _, t := range d.queue {
		if !t.abandoned {
			d.release(t.claim)
		}
	}
	d.queue = nil
	d.wake.Broadcast()
	if d.running == 0 {
		close(d.idle)
	}
	d.mu.Unlock()

	var err error
	select {
	case <-d.idle:
	case <-ctx.Done():
		err = ctx.Err()
		d.cancel(ErrShutdown)
		<-d.idle // soon: the runner leaves hooks behind that ignore their context
	}
	d.settle.drain(ctx)
	d.stop()
	d.wg.Wait()
	d.cancel(ErrShutdown)
	return err
}
