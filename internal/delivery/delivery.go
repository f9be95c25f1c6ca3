// Package delivery runs the hooks of claimed ends: a bounded number at a time,
// their leases renewed while they run, and settled when they have.
package delivery

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Outcome is what running the hooks of an end came to.
type Outcome struct {
	Err         error  // nil: all have succeeded
	Done        string // which have, for the next attempt
	Interrupted bool   // some were not started: the lease said no
}

// Runner runs the hooks of an end.
type Runner interface {
	// Deliver runs what there is to run for an end. ctx ends with the instance;
	// lease, derived from it, ends too when another instance takes the claim over,
	// and is to be checked before each hook. It must return soon after what it runs
	// has seen its context end.
	Deliver(ctx context.Context, lease Lease, c *ledger.Claim) Outcome
	// Hung returns how many hooks have been left behind.
	Hung() int
}

// Retry says what happens to ends whose hooks fail.
type Retry struct {
	Attempts int           // after so many the end goes to the dead set
	Min, Max time.Duration // pause before the next attempt, doubling from Min to Max
}

// delay returns the pause after the given attempt, spread by a fifth either way
// so that what failed together does not come back together.
func (r Retry) delay(attempt int) time.Duration {
	d := r.Max
	if shift := attempt - 1; shift < 30 && r.Min < r.Max>>shift {
		d = r.Min << shift
	}
	return d - d/5 + rand.N(2*d/5+1)
}

// Config is what a Delivery is made of.
type Config struct {
	Ledger    *ledger.Ledger
	Runner    Runner
	Instance  string
	Workers   int // ends whose hooks run at a time
	Lease     time.Duration
	Tombstone time.Duration
	Retry     Retry
	Log       *slog.Logger
}

// claimsPerWorker says how many claims are held beyond those that run, so that
// workers need not wait for the next round trip.
const claimsPerWorker = 16

// Delivery runs hooks. Make it with New, start it with Start.
type Delivery struct {
	c      Config
	counts *counts
	settle *settlers
	ctx    context.Context // of the hooks
	cancel context.CancelCauseFunc
	stop   context.CancelFunc // of the renewals
	wg     sync.WaitGroup

	mu       sync.Mutex
	work     *sync.Cond
	queue    []*holding
	held     map[ledger.ClaimRef]*holding
	claimed  map[string]int // how many of held are claims, not news, by session
	running  int
	reserved int           // room kept for claims that are being asked for
	ready    chan struct{} // closed when there is more room; nil if nobody waits
	draining bool
	idle     chan struct{} // closed when draining and nothing runs
}

// holding is a claim that has not been settled.
type holding struct {
	claim  *ledger.Claim
	until  time.Time               // its lease is good at least until then
	cancel context.CancelCauseFunc // of its hooks, nil before they run
	gone   bool                    // its lease was lost while it waited
}

// New returns a delivery that is not started.
func New(c Config) *Delivery {
	d := &Delivery{
		c:       c,
		held:    make(map[ledger.ClaimRef]*holding),
		claimed: make(map[string]int),
		idle:    make(chan struct{}),
	}
	d.work = sync.NewCond(&d.mu)
	d.ctx, d.cancel = context.WithCancelCause(context.Background())
	d.counts = new(counts)
	d.settle = newSettlers(c, d.counts, d.settled)
	return d
}

// Start starts the workers.
func (d *Delivery) Start() {
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	for range d.c.Workers {
		d.wg.Go(d.worker)
	}
	d.wg.Go(func() { d.renew(ctx) })
}

// Reserve keeps room for claims that are going to be submitted, one of so many parts
// of what there is, and returns for how many; 0 if there is none. Unreserve gives it
// back, whether it was used or not.
func (d *Delivery) Reserve(parts int) int {
	hung := d.c.Runner.Hung()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draining || hung >= d.c.Workers {
		return 0
	}
	parts = max(parts, 1)
	n := max((d.c.Workers*claimsPerWorker-len(d.held)-d.reserved+parts-1)/parts, 0)
	d.reserved += n
	return n
}

// Unreserve gives back what Reserve returned.
func (d *Delivery) Unreserve(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reserved -= n
	d.signalReady()
}

// Holds reports whether the claim of a session's end is held: its hooks wait, run,
// or have run and Redis has not been told.
func (d *Delivery) Holds(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.claimed[id] > 0
}

// Ready returns a channel that is closed when there is more room than now.
func (d *Delivery) Ready() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ready == nil {
		d.ready = make(chan struct{})
	}
	return d.ready
}

// Submit takes claims to run. It never blocks, except for one round trip when
// the instance has shut down. A claim without a token is a piece of news: another
// instance holds the claim, and there is nothing to settle.
func (d *Delivery) Submit(claims []*ledger.Claim) {
	d.mu.Lock()
	if d.draining {
		d.mu.Unlock()
		for _, c := range claims {
			d.giveBack(c)
		}
		return
	}
	defer d.mu.Unlock()
	for _, c := range claims {
		held := refOf(c)
		if h := d.held[held]; h != nil && h.cancel == nil {
			continue // the same news, which still waits
		}
		h := &holding{claim: c, until: c.Asked.Add(d.c.Lease)}
		if d.held[held] == nil && held.Token != "" {
			d.claimed[held.ID]++
		}
		d.held[held] = h
		d.queue = append(d.queue, h)
		d.work.Signal()
	}
}

func refOf(c *ledger.Claim) ledger.ClaimRef { return ledger.ClaimRef{ID: c.ID, Token: c.Token} }

// giveBack releases a claim whose hooks have not run.
func (d *Delivery) giveBack(c *ledger.Claim) {
	if c.Token == "" {
		return
	}
	d.settle.add(ledger.Settlement{
		ClaimRef: refOf(c),
		Verdict:  ledger.Release,
		Attempt:  c.Attempt - 1,
		Done:     c.Done,
	})
}

func (d *Delivery) worker() {
	for {
		h, lease := d.take()
		if h == nil {
			return
		}
		outcome := d.c.Runner.Deliver(d.ctx, d.lease(lease, h), h.claim)
		lost := context.Cause(lease) == ErrLeaseLost //nolint:errorlint // the very cause that forfeit gives
		h.cancel(nil)
		d.finish(h, outcome, lost)
	}
}

// take waits for the next claim; nil when draining.
func (d *Delivery) take() (*holding, context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		for len(d.queue) == 0 && !d.draining {
			d.work.Wait()
		}
		if d.draining {
			return nil, nil
		}
		h := d.queue[0]
		d.queue[0] = nil
		d.queue = d.queue[1:]
		if h.claim.Token != "" && !d.startable(h) {
			continue
		}
		var lease context.Context
		lease, h.cancel = context.WithCancelCause(d.ctx)
		d.running++
		return h, lease
	}
}

// startable reports whether the hooks of a waiting claim may still be started,
// and lets go of it if not. The caller holds mu.
func (d *Delivery) startable(h *holding) bool {
	switch {
	case h.gone:
		return false
	case time.Now().After(h.until):
		// Redis was away, or this process was stopped: others may hold it by now.
		d.drop(h)
		return false
	case d.c.Runner.Hung() >= d.c.Workers:
		d.giveBack(h.claim)
		return false
	}
	return true
}

// drop takes a holding off the list. The caller holds mu.
func (d *Delivery) drop(h *holding) {
	h.gone = true
	if held := refOf(h.claim); d.held[held] == h {
		d.forget(held)
	}
	d.signalReady()
}

// forget takes what is held off the list. The caller holds mu.
func (d *Delivery) forget(held ledger.ClaimRef) {
	if d.held[held] == nil {
		return
	}
	delete(d.held, held)
	if held.Token == "" {
		return
	}
	if d.claimed[held.ID]--; d.claimed[held.ID] == 0 {
		delete(d.claimed, held.ID)
	}
}

// signalReady tells those who wait for room. The caller holds mu.
func (d *Delivery) signalReady() {
	if d.ready != nil {
		close(d.ready)
		d.ready = nil
	}
}

func (d *Delivery) finish(h *holding, o Outcome, lost bool) {
	c := h.claim
	s := ledger.Settlement{ClaimRef: refOf(c), Attempt: c.Attempt, Done: o.Done}
	settle := true
	switch {
	case c.Token == "" || lost:
		settle = false // nothing is held, or not any more
	case o.Err == nil:
		s.Verdict = ledger.Ack
	case d.ctx.Err() != nil, o.Interrupted:
		s.Verdict, s.Error = ledger.Release, o.Err.Error() // refused if it was taken over
	case c.Attempt >= d.c.Retry.Attempts:
		s.Verdict, s.Error = ledger.Bury, o.Err.Error()
	default:
		s.Verdict, s.Error = ledger.Release, o.Err.Error()
		s.Delay = d.c.Retry.delay(c.Attempt)
	}
	if settle {
		d.settle.add(s)
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	if !settle {
		d.drop(h)
	}
	d.running--
	if d.draining && d.running == 0 {
		close(d.idle)
	}
}

// settled is called by the settler when claims are no longer this instance's.
func (d *Delivery) settled(held []ledger.ClaimRef) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range held {
		d.forget(h)
	}
	d.signalReady()
}

// Drain takes no more claims, gives those that wait back, and waits for running
// hooks until ctx ends; then it cancels them and gives their claims back too. It
// returns ctx's error if it came to that. It must be called once, after Start, and
// after whatever finds claims has ended.
func (d *Delivery) Drain(ctx context.Context) error {
	d.mu.Lock()
	d.draining = true
	for _, h := range d.queue {
		if !h.gone {
			d.giveBack(h.claim)
		}
	}
	d.queue = nil
	d.work.Broadcast()
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
