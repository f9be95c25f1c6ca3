package reaper

import (
	"context"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/backoff"
)

// run looks for ended sessions until ctx ends.
func (r *Reaper) run(ctx context.Context) {
	retry := backoff.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		moreRoom := r.c.Sink.MoreRoom() // before the look, so that room that comes free meanwhile counts
		full, err := r.look(ctx)
		if ctx.Err() != nil {
			return
		}
		wait, wake := r.pause(), r.wake
		if err != nil {
			if !retry.Failing() {
				r.c.Log.Warn("lifecycle: looking for ended sessions fails at Redis "+r.c.Ledger.AddressOf(r.server)+", so destroyed hooks wait; this instance tries again until it works", "error", err)
			}
			wait, wake = retry.Next(), nil
		} else if retry.Failing() {
			r.c.Log.Info("lifecycle: looking for ended sessions works again at Redis " + r.c.Ledger.AddressOf(r.server))
			retry.Reset()
		}
		var room <-chan struct{}
		if full {
			room, wake = moreRoom, nil
			wait = r.c.Interval
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-wake:
		case <-room:
		}
	}
}

// pause returns for how long there is nothing to do.
func (r *Reaper) pause() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := r.c.Interval - time.Since(r.lastFullLook)
	if r.removed.len()+r.expired.len()+len(r.toRead) > 0 {
		return 0
	}
	if at, clock := r.firstDue(); at < never {
		// One millisecond later: Redis deletes a key when its clock is past the deadline.
		wait = min(wait, clock.Until(at+1))
	}
	return max(wait, 0)
}

// look reads the due-indexes that must be read, then looks at what is due and at what hints
// name, in turns, until there is nothing more. full is true if it has stopped because the
// sink has no room.
func (r *Reaper) look(ctx context.Context) (full bool, err error) {
	for ctx.Err() == nil {
		// In every turn, and not once before all of them: while hints come, or ends come
		// due, there is no last turn.
		r.startFullLook()
		if err := r.readHeads(ctx); err != nil {
			return false, err
		}
		if err := r.readTails(ctx); err != nil {
			return false, err
		}
		due := r.dueBuckets()
		removed, expired := r.hintsWait()
		if len(due) == 0 && !removed && !expired {
			return false, nil
		}
		free := r.c.Sink.Reserve(r.fleet.size())
		if free <= 0 {
			return true, nil
		}
		switch r.turns.next(len(due) > 0, removed, expired) {
		case removedTurn:
			err = r.lookHints(ctx, &r.removed, free)
		case expiredTurn:
			err = r.lookHints(ctx, &r.expired, free)
		default:
			// Many sessions of few buckets, and not few of many: each bucket costs a
			// script call.
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

// startFullLook makes the reaper look at all its buckets if the last time is
// Config.Interval ago.
func (r *Reaper) startFullLook() {
	if time.Since(r.lastFullLook) < r.c.Interval {
		return
	}
	r.lookAtAll()
	r.lastFullLook = time.Now()
	if r.fullLooks++; r.fullLooks%tailLooks == 0 {
		r.mu.Lock()
		r.tails = true
		r.mu.Unlock()
	}
}
