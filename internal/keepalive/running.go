package keepalive

import (
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Running keeps a session alive while a handler runs for it. Most handlers return before
// anything is to be done. The zero value is a handler that does not run.
type Running struct {
	keeper     *Keeper
	x          ledger.Touching
	timer      *time.Timer
	held       *session // nil while the session's own time is enough
	prev, next *Running
}

// Begin says that a handler runs for a live session, which lives for left if nobody prolongs
// it. End must follow. r must not run yet, and is for one keeper.
func (k *Keeper) Begin(r *Running, x ledger.Touching, left time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r.keeper, r.x = k, x
	if r.next = k.running; r.next != nil {
		r.next.prev = r
	}
	k.running = r
	if r.timer == nil {
		r.timer = time.AfterFunc(third(left), func() { k.hasRun(r) })
	} else {
		r.timer.Reset(third(left))
	}
}

// hasRun is called when a handler has been running for a third of the session's time, and
// perhaps once more when the next one of r has just begun.
func (k *Keeper) hasRun(r *Running) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.runs() && r.held == nil {
		r.held = k.hold(r.x)
	}
}

// runs reports whether End has not been called since Begin. The caller holds the keeper's mu.
func (r *Running) runs() bool { return r.prev != nil || r.keeper.running == r }

// End says that the handler runs for the session no more. Without a Begin it does nothing. r
// may begin again. Begin and End of one r must not be called at the same time.
func (r *Running) End() {
	k := r.keeper
	if k == nil {
		return
	}
	r.timer.Stop()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !r.runs() {
		return
	}
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		k.running = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
	if r.held != nil {
		r.held.holders--
		r.held = nil
	}
}
