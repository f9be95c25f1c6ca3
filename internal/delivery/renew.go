package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Causes for which the context of a hook ends early.
var (
	ErrLeaseLost = errors.New("the lease of the claim was lost")
	ErrShutdown  = errors.New("the instance shuts down")
)

// renew renews the leases of all held claims until ctx ends.
func (d *Delivery) renew(ctx context.Context) {
	ticker := time.NewTicker(d.c.Lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		d.mu.Lock()
		held := make([]ledger.Held, 0, len(d.held))
		for h := range d.held {
			if h.Token != "" {
				held = append(held, h)
			}
		}
		d.mu.Unlock()
		if len(held) == 0 {
			continue
		}
		for i, s := range d.c.Ledger.Renew(ctx, held, d.c.Lease) {
			// An error says nothing: the lease may well be good until the next time.
			if s.Err == nil && !s.OK {
				d.forfeit(held[i])
			}
		}
	}
}

// forfeit lets go of a claim that another instance has taken over, or that was
// settled in this moment.
func (d *Delivery) forfeit(held ledger.Held) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.held[held]
	if h == nil {
		return
	}
	if h.cancel != nil {
		h.cancel(ErrLeaseLost) // its settlement, refused, takes it off the list
		return
	}
	delete(d.held, held)
}
