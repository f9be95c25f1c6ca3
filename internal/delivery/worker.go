package delivery

import (
	"context"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// work runs the hooks of one task after the other, until draining begins.
func (d *Delivery) work() {
	for {
		t, ctx := d.next()
		if t == nil {
			return
		}
		outcome := d.c.Runner.Deliver(d.hookCtx, d.leaseOf(ctx, t), t.claim)
		leaseLost := context.Cause(ctx) == ErrLeaseLost //nolint:errorlint // renewed sets this very error as the cause
		t.cancel(nil)
		d.hooksReturned(t, outcome, leaseLost)
	}
}

// next waits for a task and starts it. It returns the task with the context of its hooks,
// or nil when draining has begun.
func (d *Delivery) next() (*task, context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		for len(d.queue) == 0 && !d.draining {
			d.wake.Wait()
		}
		if d.draining {
			return nil, nil
		}
		t := d.queue[0]
		d.queue[0] = nil
		d.queue = d.queue[1:]
		if !t.isNews() && !d.mayStart(t) {
			continue
		}
		var ctx context.Context
		ctx, t.cancel = context.WithCancelCause(d.hookCtx)
		d.running++
		return t, ctx
	}
}

// mayStart reports whether the hooks of a claim that has waited may start. If they may not,
// mayStart also lets go of the claim. The caller holds mu.
func (d *Delivery) mayStart(t *task) bool {
	switch {
	case t.abandoned:
		return false
	case time.Now().After(t.leaseEnd):
		// Redis was away, or this process was stopped. Another instance may have the
		// claim by now.
		d.abandon(t)
		return false
	case d.c.Runner.Hung() >= d.c.Workers:
		d.release(t.claim)
		return false
	}
	return true
}

// release gives a claim back whose hooks have not run, so that it can be claimed again at
// once. It counts as no attempt.
func (d *Delivery) release(c *ledger.Claim) {
	if c.Token == "" {
		return // news
	}
	d.settle.add(ledger.Settlement{
		ClaimRef: refOf(c),
		Verdict:  ledger.Release,
		Attempt:  c.Attempt - 1,
		Done:     c.Done,
	})
}

// hooksReturned settles a claim whose hooks have returned. Where there is nothing to
// settle, for news and for a claim that another instance has taken over, it takes the task
// off the list.
func (d *Delivery) hooksReturned(t *task, o Outcome, leaseLost bool) {
	settle := !t.isNews() && !leaseLost
	if settle {
		d.settle.add(d.settlementOf(t.claim, o))
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	if !settle {
		d.abandon(t)
	}
	d.running--
	if d.draining && d.running == 0 {
		close(d.idle)
	}
}

// settlementOf decides what becomes of a claim whose hooks have returned.
func (d *Delivery) settlementOf(c *ledger.Claim, o Outcome) ledger.Settlement {
	s := ledger.Settlement{ClaimRef: refOf(c), Attempt: c.Attempt, Done: o.Done}
	switch {
	case o.Err == nil:
		s.Verdict = ledger.Ack
	case d.hookCtx.Err() != nil, o.Interrupted:
		// The hooks were cut short: no pause. If another instance has taken the claim
		// over, Redis refuses this.
		s.Verdict, s.Error = ledger.Release, o.Err.Error()
	case c.Attempt >= d.c.Retry.Attempts:
		s.Verdict, s.Error = ledger.Bury, o.Err.Error()
	default:
		s.Verdict, s.Error = ledger.Release, o.Err.Error()
		s.Delay = d.c.Retry.delay(c.Attempt)
	}
	return s
}
