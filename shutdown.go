package lifecycle

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// stop ends everything; see Manager.Shutdown.
func (bg *background) stop(ctx context.Context) error {
	bg.cancel()
	var left sync.WaitGroup
	left.Go(func() { bg.runLeft(ctx) })
	bg.finders.Wait()
	err := bg.delivery.Drain(ctx)
	left.Wait()
	bg.wg.Wait()
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// leftGrace is for how long, once the context of a shutdown has ended, closures
// still run in their order and a bounded number at a time.
const leftGrace = 250 * time.Millisecond

// runLeft runs the closures that this instance still holds, those of a bounded
// number of sessions at a time. When ctx has ended and leftGrace is over it starts
// what is left at once: each is started whatever the others do, and the end of
// the process does not wait for one after the other to be left behind.
func (bg *background) runLeft(ctx context.Context) {
	m := bg.m
	late, hurry := context.WithCancel(context.WithoutCancel(ctx))
	defer hurry()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(leftGrace, hurry) })()

	var wg sync.WaitGroup
	slots := make(chan struct{}, m.config.concurrency)
	var away atomic.Bool // Redis: one timeout is enough
	var ids []string
	for id, held := range m.closures.close() {
		if len(held.hooks) == 0 {
			continue
		}
		ids = append(ids, id)
		free := func() {}
		select {
		case slots <- struct{}{}:
			free = func() { <-slots }
		case <-late.Done():
		}
		wg.Go(func() {
			defer free()
			end := ledger.End{ID: id, Record: held.record, Reason: string(ReasonShutdown), At: m.store.ledger.ClockOf(id).Unix(), Left: -1, Attempt: 1}
			if ctx.Err() == nil && !away.Load() {
				rec, err := m.store.ledger.Record(ctx, id)
				if len(rec) > 0 {
					end.Record = rec
				}
				if err != nil && !ledger.IsOverwritten(err) {
					away.Store(true)
				}
			}
			m.runLeftOf(ctx, late, held.hooks, endedSession(m.store.config.codec, end))
		})
	}
	wg.Wait()
	if !away.Load() {
		bg.unwatch(ctx, ids)
	}
}

// runLeftOf runs the closures of one session, last registered first, each when the
// one before has returned; at once when late has ended.
func (m *Manager) runLeftOf(ctx, late context.Context, hooks []Hook, s *Session) {
	var wg sync.WaitGroup
	for i, h := range slices.Backward(hooks) {
		done := make(chan struct{})
		wg.Go(func() {
			defer close(done)
			if err := m.call(ctx, h, s); err != nil {
				m.logHook("session's destroyed", i, s, err)
			}
		})
		select {
		case <-done:
		case <-late.Done():
		}
	}
	wg.Wait()
}

// unwatch notes that this instance holds nothing of these sessions any more. If
// ctx has ended one timeout of Redis is left for all of them. What is not noted
// costs a tombstone.
func (bg *background) unwatch(ctx context.Context, ids []string) {
	m := bg.m
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), m.config.redisTimeout)
		defer cancel()
	}
	for chunk := range slices.Chunk(ids, sweepBatch) {
		if m.store.ledger.Unwatch(ctx, m.instance, chunk...) != nil {
			return
		}
	}
}
