package runner

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/closures"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// leftGrace is the time, after the context of RunLeft has ended, in which closures still
// run in their order and for a bounded number of sessions at the same time.
const leftGrace = 250 * time.Millisecond

// unwatchBatch is how many sessions one round trip of unwatch names.
const unwatchBatch = 256

// Refuse refuses closures from now on. Those that are held stay, for Deliver and RunLeft.
func (r *Runner[S]) Refuse() { r.closures.Refuse() }

// RunLeft refuses closures from now on, drops those that do not run at a shutdown, and runs
// the others, for Config.Concurrency sessions at the same time. When ctx has ended and
// leftGrace is over it starts the rest at once: every closure is started, and the end of
// the process does not wait for one after the other to run out of time.
func (r *Runner[S]) RunLeft(ctx context.Context) {
	late, hurry := context.WithCancel(context.WithoutCancel(ctx))
	defer hurry()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(leftGrace, hurry) })()

	var wg sync.WaitGroup
	slots := make(chan struct{}, r.c.Concurrency)
	var away atomic.Bool // Redis did not answer: do not wait for another timeout
	var ids []string
	for _, left := range r.closures.Close() {
		ids = append(ids, left.ID)
		if len(left.Hooks) == 0 {
			continue
		}
		free := func() {}
		select {
		case slots <- struct{}{}:
			free = func() { <-slots }
		case <-late.Done():
		}
		wg.Go(func() {
			defer free()
			r.runLeftOf(ctx, late, left, &away)
		})
	}
	wg.Wait()
	if !away.Load() {
		r.unwatch(ctx, ids)
	}
}

// runLeftOf runs the closures of one session, the last one of left.Hooks first. Each starts when
// the one before has returned, or at once when late has ended.
func (r *Runner[S]) runLeftOf(ctx, late context.Context, left closures.Left[Hook[S]], away *atomic.Bool) {
	e := r.picture(ledger.End{
		ID:      left.ID,
		Record:  r.recordOf(ctx, left, away),
		Reason:  r.c.ShutdownReason,
		At:      r.c.Ledger.ClockOf(left.ID).Unix(),
		Left:    -1,
		Attempt: 1,
	})
	var wg sync.WaitGroup
	for i, h := range slices.Backward(left.Hooks) {
		done := make(chan struct{})
		wg.Go(func() {
			defer close(done)
			_ = r.runDestroyedHook(ctx, closureFailed, i, h, e)
		})
		select {
		case <-done:
		case <-late.Done():
		}
	}
	wg.Wait()
}

// recordOf returns the record as Redis has it, or else as this process last knew it.
func (r *Runner[S]) recordOf(ctx context.Context, left closures.Left[Hook[S]], away *atomic.Bool) []byte {
	if ctx.Err() != nil || away.Load() {
		return left.Record
	}
	record, err := r.c.Ledger.Record(ctx, left.ID)
	if err != nil && !ledger.IsOverwritten(err) {
		away.Store(true)
	}
	if len(record) == 0 {
		return left.Record
	}
	return record
}

// unwatch notes in Redis that this instance has no closures of these sessions any more.
// If ctx has ended, one timeout of Redis remains for all of them. Where the note fails,
// the record of an ended session is kept until it expires.
func (r *Runner[S]) unwatch(ctx context.Context, ids []string) {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), r.c.RedisTimeout)
		defer cancel()
	}
	for chunk := range slices.Chunk(ids, unwatchBatch) {
		if r.c.Ledger.Unwatch(ctx, r.c.Instance, chunk...) != nil {
			return
		}
	}
}
