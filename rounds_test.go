package lifecycle_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// rounds are lives of an instance that leave nothing behind.
type rounds struct {
	t      *testing.T
	server *redistest.Server
	admin  *redis.Client
	prefix string
}

// one makes a manager on a client of its own, gives it to use, which must shut it
// down, and closes the client.
func (r *rounds) one(use func(m *lifecycle.Manager)) {
	r.t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: r.server.Addr, MaxRetries: -1})
	defer func() {
		if err := rdb.Close(); err != nil {
			r.t.Error(err)
		}
	}()
	store, err := lifecycle.NewStore(rdb, lifecycle.WithPrefix(r.prefix), lifecycle.WithBuckets(4),
		lifecycle.WithConcurrency(4), lifecycle.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := lifecycle.New(store)
	if err != nil {
		r.t.Fatal(err)
	}
	use(m)
}

// subscribed reports whether an instance listens.
func (r *rounds) subscribed() bool {
	channels, err := r.admin.PubSubChannels(within(r.t), r.prefix+":instance:*").Result()
	return err == nil && len(channels) == 1
}

// Five hundred starts and shutdowns leave no goroutine, connection or key behind.
func TestStartStopRounds(t *testing.T) { // not parallel: it counts goroutines
	server := redistest.Start(t)
	r := &rounds{t: t, server: server, admin: redistest.Client(t, server.Addr), prefix: prefix()}
	shutdown := func(m *lifecycle.Manager) {
		if err := m.Shutdown(within(t)); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	}
	if err := r.admin.Ping(within(t)).Err(); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	for i := range 500 {
		r.one(func(m *lifecycle.Manager) {
			if err := m.Start(within(t)); err != nil {
				t.Fatal(err)
			}
			if i%10 == 0 { // the others end while they begin
				eventually(t, "it listens and is an instance", func() bool { return m.Stats().Instances == 1 && r.subscribed() })
			}
			shutdown(m)
		})
	}
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
	eventually(t, "no connection is left", func() bool {
		list, err := r.admin.ClientList(within(t)).Result()
		return err == nil && strings.Count(list, "\n") == 1
	})
	keys, err := r.admin.Keys(within(t), "*").Result()
	if err != nil || len(keys) != 1 || keys[0] != r.prefix+":buckets" {
		t.Errorf("keys %v, %v; want the number of buckets only", keys, err)
	}
}

// Shutdown may come at any moment, more than once, and with no time left.
func TestShutdownAtABadMoment(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := &rounds{t: t, server: server, admin: redistest.Client(t, server.Addr), prefix: prefix()}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, use := range map[string]func(m *lifecycle.Manager){
		"twice at once": func(m *lifecycle.Manager) {
			results := make(chan error, 2)
			for range 2 {
				go func() { results <- m.Shutdown(within(t)) }()
			}
			for range 2 {
				if err := receive(t, results); err != nil {
					t.Errorf("shutdown: %v", err)
				}
			}
		},
		"with a context that has ended": func(m *lifecycle.Manager) {
			if err := m.Shutdown(ended); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("shutdown: %v", err)
			}
		},
		"while it starts": func(m *lifecycle.Manager) {
			go func() { _ = m.Start(within(t)) }()
			if err := m.Shutdown(within(t)); err != nil {
				t.Errorf("shutdown: %v", err)
			}
		},
		"while Redis does not answer": func(m *lifecycle.Manager) {
			server.Pause()
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			if err := m.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("shutdown: %v", err)
			}
			server.Resume()
		},
	} {
		r.one(func(m *lifecycle.Manager) {
			if err := m.Start(within(t)); err != nil {
				t.Fatalf("%s: start: %v", name, err)
			}
			use(m)
			if err := m.Start(within(t)); !errors.Is(err, lifecycle.ErrShutdown) {
				t.Errorf("%s: start after shutdown: %v", name, err)
			}
		})
	}
}
