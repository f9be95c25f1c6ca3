package main

import (
	"context"
	"fmt"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// recorder notes when the destroyed hooks of known sessions start.
type recorder struct {
	index map[string]int
	done  chan struct{} // closed when all hooks have started

	mu     sync.Mutex
	at     []time.Time
	ended  []time.Time // EndedAt
	left   int         // sessions whose hook has not started
	others int         // runs for other sessions, or a second run
}

func newRecorder(tokens []token.Token) *recorder {
	r := &recorder{
		index: make(map[string]int, len(tokens)),
		done:  make(chan struct{}),
		at:    make([]time.Time, len(tokens)),
		ended: make([]time.Time, len(tokens)),
		left:  len(tokens),
	}
	for i, t := range tokens {
		r.index[t.ID] = i
	}
	return r
}

// hook is the destroyed hook.
func (r *recorder) hook(_ context.Context, s *lifecycle.Session) error {
	now := time.Now()
	i, ok := r.index[s.ID]
	r.mu.Lock()
	defer r.mu.Unlock()
	if !ok || !r.at[i].IsZero() {
		r.others++
		return nil
	}
	r.at[i], r.ended[i] = now, s.EndedAt
	if r.left--; r.left == 0 {
		close(r.done)
	}
	return nil
}

// wait waits until all hooks have started.
func (r *recorder) wait(ctx context.Context, timeout time.Duration) error {
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		r.mu.Lock()
		defer r.mu.Unlock()
		return fmt.Errorf("%d of %d hooks have not started", r.left, len(r.at))
	}
}

// watch starts a manager of the population's store, with r's hook as the destroyed hook.
func (b *bench) watch(ctx context.Context, p *population, r *recorder) (*lifecycle.Manager, error) {
	store, err := lifecycle.NewStore(b.servers.client(), lifecycle.WithPrefix(p.prefix), lifecycle.WithLogger(b.log))
	if err != nil {
		return nil, err
	}
	m, err := lifecycle.New(store)
	if err != nil {
		return nil, err
	}
	m.OnSessionDestroyed(r.hook)
	// The background work inherits the label: -tagfocus=part=manager shows it in a CPU profile.
	pprof.Do(ctx, pprof.Labels("part", "manager"), func(ctx context.Context) { err = m.Start(ctx) })
	if err != nil {
		return nil, err
	}
	return m, atWork(ctx, m)
}

// atWork waits until the manager looks after its buckets and gets notifications.
func atWork(ctx context.Context, m *lifecycle.Manager) error {
	return until(ctx, 10*time.Second, "the manager is not at work", func() (bool, error) {
		s := m.Stats()
		return s.Instances > 0 && s.Notifications == lifecycle.NotificationsOn, nil
	})
}
