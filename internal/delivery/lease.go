package delivery

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Reasons why the context of a hook ends early, or why no further hook starts.
var (
	ErrLeaseLost = errors.New("another instance has taken the claim over")
	ErrLeaseOver = errors.New("the time of the lease is over")
	ErrShutdown  = errors.New("the instance shuts down")
)

// Lease is the right to run the hooks of one claim. Its context ends when Redis has said
// that another instance has the claim, or when this instance shuts down.
type Lease struct {
	context.Context
	end func() time.Time
}

// Check returns why no further hook may start, or nil if one may. It also looks at the
// clock: a process that was stopped for long, or that cannot reach Redis, must not start a
// hook that another instance may be running already, even though nothing has told this
// process so.
func (l Lease) Check() error {
	if err := context.Cause(l); err != nil {
		return err
	}
	if time.Now().After(l.end()) {
		return ErrLeaseOver
	}
	return nil
}

// leaseOf returns the lease of a task. ctx is the context of its hooks.
func (d *Delivery) leaseOf(ctx context.Context, t *task) Lease {
	return Lease{ctx, func() time.Time {
		d.mu.Lock()
		defer d.mu.Unlock()
		return t.leaseEnd
	}}
}

const (
	// renewBatch is how many leases are renewed in one round trip, at most.
	renewBatch = 2048
	// renewRetry is the longest pause after a renewal that has failed. It is short: where
	// Redis was away, not much of the leases is left.
	renewRetry = 200 * time.Millisecond
)

// renewLeases renews the leases of all claims every third of a lease, until ctx ends.
func (d *Delivery) renewLeases(ctx context.Context) {
	pause := d.c.Lease / 3
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if d.renewAll(ctx) {
			timer.Reset(pause)
		} else {
			timer.Reset(min(pause, renewRetry))
		}
	}
}

// renewAll renews the leases of all claims. It returns false if Redis has not answered for
// some of them.
func (d *Delivery) renewAll(ctx context.Context) bool {
	d.mu.Lock()
	refs := make([]ledger.ClaimRef, 0, len(d.tasks))
	for ref, t := range d.tasks {
		if !t.isNews() {
			refs = append(refs, ref)
		}
	}
	d.mu.Unlock()
	answered := true
	for chunk := range slices.Chunk(refs, renewBatch) {
		before := time.Now()
		// With a bound: a server that is away must not delay the next renewal of the
		// claims on other servers.
		bound, cancel := context.WithTimeout(ctx, d.c.Lease/3)
		results := d.c.Ledger.Renew(bound, chunk, d.c.Lease)
		cancel()
		for i, r := range results {
			// An error says nothing about the claim: the lease may last until the next try.
			if r.Err != nil {
				answered = false
				continue
			}
			d.renewed(chunk[i], r.OK, before.Add(d.c.Lease))
		}
	}
	return answered
}

// renewed takes note of the answer to the renewal of a lease. If ok is true, the lease
// lasts until leaseEnd. Otherwise the claim is not this instance's any more: another
// instance has taken it over, or it was settled in this moment.
func (d *Delivery) renewed(ref ledger.ClaimRef, ok bool, leaseEnd time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tasks[ref]
	switch {
	case t == nil:
	case ok:
		t.leaseEnd = leaseEnd
	case t.cancel != nil:
		t.cancel(ErrLeaseLost) // hooksReturned or the settlement takes the task off the list
	default:
		d.abandon(t)
	}
}
