package lifecycle

import (
	"context"
	"crypto/rand"
	"log/slog"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// An end is told while the session's first hook is being registered, and before
// the sweep it was told to, all sessions are asked for: the told one is, too.
func TestSweepOfAllKeepsTheToldEnd(t *testing.T) {
	t.Parallel()
	store, err := NewStore(redistest.Client(t, redistest.Shared(t)), WithPrefix("t"+rand.Text()), WithBuckets(1),
		WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(store)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := m.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Shutdown(ctx) }()

	id := token.New(token.Timeouts{}).ID // of a session that Redis knows nothing of
	m.closures.open(id)
	s := m.started.Load().sweeper
	s.mu.Lock() // ask and askAll, with no sweep in between
	s.named[id] = struct{}{}
	s.all = true
	s.mu.Unlock()
	s.poke()

	heard := func() bool {
		m.closures.mu.Lock()
		defer m.closures.mu.Unlock()
		return m.closures.sessions[id].ended != nil
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !heard() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the end was forgotten")
		}
	}
	hook := func(context.Context, *Session) error { return nil }
	if end, ok := m.closures.commit(id, hook, nil); end == nil || end.ID != id || !ok {
		t.Errorf("registered: %+v, %v", end, ok)
	}
}
