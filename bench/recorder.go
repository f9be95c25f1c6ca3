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

// recorder notes when the destroyed hooks of known sessions begin.
type recorder struct {
	index map[string]int
	done  chan struct{} // closed when all have begun

	mu     sync.Mutex
	at     []time.Time
	ended  []time.Time // as the hook was told
	left   int
	others int // hooks of other sessions, or a second time
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

// wait waits until all hooks have begun.
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
		return fmt.Errorf("%d of %d hooks have not begun", r.left, len(r.at))
	}
}

// watch starts a manager of the population's store whose destroyed hook is r's.
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
	// Its background inherits the label: in a CPU profile -tagfocus=part=manager.
	pprof.Do(ctx, pprof.Labels("part", "manager"), func(ctx context.Context) { err = m.Start(ctx) })
	if err != nil {
		return nil, err
	}
	return m, atWork(ctx, m)
}

// atWork waits until the manager looks after its buckets and hears Redis.
func atWork(ctx context.Context, m *lifecycle.Manager) error {
	return until(ctx, 10*time.Second, "the manager is not at work", func() (bool, error) {
		s := m.Stats()
		return s.Instances > 0 && s.Notifications == lifecycle.NotificationsOn, nil
	})
}
