package delivery

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Causes for which the context of a hook ends early, or no further hook starts.
var (
	ErrLeaseLost = errors.New("the lease of the claim was lost")
	ErrLeaseOver = errors.New("the time of the lease was over")
	ErrShutdown  = errors.New("the instance shuts down")
)

// Lease is the right to run the hooks of one claim. Its context ends when another
// instance is known to have taken the claim over, or this one shuts down.
type Lease struct {
	context.Context
	until func() time.Time
}

// Check returns why no further hook may start, nil if one may. It goes by the time
// as well: a process that was stopped for long, or has not reached Redis, must
// not start what another instance may be running, before anybody could tell it.
func (l Lease) Check() error {
	if err := context.Cause(l); err != nil {
		return err
	}
	if time.Now().After(l.until()) {
		return ErrLeaseOver
	}
	return nil
}

func (d *Delivery) lease(ctx context.Context, h *holding) Lease {
	return Lease{ctx, func() time.Time {
		d.mu.Lock()
		defer d.mu.Unlock()
		return h.until
	}}
}

const (
	// renewBatch bounds the claims of one round trip.
	renewBatch = 2048
	// renewRetry is the longest pause after a renewal that failed: what Redis being
	// away has left of a lease is to last.
	renewRetry = 200 * time.Millisecond
)

// renew renews the leases of all held claims until ctx ends.
func (d *Delivery) renew(ctx context.Context) {
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

// renewAll renews the leases of all held claims. false means that some may not
// have been renewed.
func (d *Delivery) renewAll(ctx context.Context) bool {
	d.mu.Lock()
	held := make([]ledger.ClaimRef, 0, len(d.held))
	for h := range d.held {
		if h.Token != "" {
			held = append(held, h)
		}
	}
	d.mu.Unlock()
	answered := true
	for chunk := range slices.Chunk(held, renewBatch) {
		before := time.Now()
		// A server that is away must not keep the others from the next renewal.
		bound, cancel := context.WithTimeout(ctx, d.c.Lease/3)
		results := d.c.Ledger.Renew(bound, chunk, d.c.Lease)
		cancel()
		for i, s := range results {
			// An error says nothing: the lease may be good until the next time.
			if s.Err != nil {
				answered = false
				continue
			}
			d.renewed(chunk[i], s.OK, before.Add(d.c.Lease))
		}
	}
	return answered
}

// renewed notes that a lease is good for longer, or lets go of a claim that
// another instance has taken over, or that was settled in this moment.
func (d *Delivery) renewed(held ledger.ClaimRef, ok bool, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.held[held]
	switch {
	case h == nil:
	case ok:
		h.until = until
	case h.cancel != nil:
		h.cancel(ErrLeaseLost) // its worker, or its settlement, takes it off the list
	default:
		d.drop(h)
	}
}
