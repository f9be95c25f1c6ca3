package suite_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
)

// rounds makes one instance after the other in one process, on one client. Its
// tests are not parallel: they count the process's goroutines.
type rounds struct {
	t          *testing.T
	prefix     string
	on         deployment
	rdb        redis.UniversalClient
	opts       []lifecycle.Option
	goroutines int
}

const roundsPool = 10

func newRounds(t *testing.T, d deployment, opts ...lifecycle.Option) *rounds {
	t.Helper()
	r := &rounds{t: t, prefix: prefix(), on: d, opts: append(d.opts, opts...)}
	r.rdb = d.client(t, r.prefix, func(o *redis.UniversalOptions) {
		if o.PoolSize = roundsPool; o.Username == "" { // whose right it is
			o.ClientName = r.prefix
		}
	})
	r.round(nil) // what is made once, by go-redis for one
	r.goroutines = runtime.NumGoroutine()
	return r
}

func (r *rounds) make() *lifecycle.Manager {
	r.t.Helper()
	opts := append([]lifecycle.Option{
		lifecycle.WithPrefix(r.prefix),
		lifecycle.WithBuckets(8),
		lifecycle.WithLogger(slog.New(slog.DiscardHandler)),
	}, r.opts...)
	store, err := lifecycle.NewStore(r.rdb, opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := lifecycle.New(store)
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

// start starts an instance and waits until it is one of the fleet and listens.
func (r *rounds) start() *lifecycle.Manager {
	r.t.Helper()
	m := r.make()
	if err := m.Start(within(r.t)); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "it is the one instance, and listens", func() bool {
		s := m.Stats()
		return s.Instances == 1 && s.Notifications == r.on.notifications &&
			len(r.on.channels(r.t, r.prefix+":instance:"+instance(m))) == 1
	})
	return m
}

// round starts an instance and shuts it down, after what shall happen between.
func (r *rounds) round(between func(m *lifecycle.Manager)) {
	r.t.Helper()
	m := r.start()
	if between != nil {
		between(m)
	}
	if err := m.Shutdown(within(r.t)); err != nil {
		r.t.Fatalf("shutdown: %v", err)
	}
}

// nothingLeft waits until all is as it was after the first round: no goroutine
// more, no subscription, no connection outside of the pool, and in Redis the
// number of buckets alone.
func (r *rounds) nothingLeft() {
	r.t.Helper()
	if keys := r.on.keys(r.t, r.prefix+"*"); len(keys) != 1 || keys[0] != r.prefix+":buckets" {
		r.t.Errorf("keys: %q; want %s:buckets only", keys, r.prefix)
	}
	eventually(r.t, "connections of the pool only, none of a subscription", func() bool {
		all, subscribed := r.connections()
		return all <= roundsPool*r.on.masters(r.t) && subscribed == 0
	})
	eventually(r.t, fmt.Sprintf("%d goroutines", r.goroutines), func() bool { return runtime.NumGoroutine() <= r.goroutines })
	if err := r.rdb.Close(); err != nil {
		r.t.Error(err)
	}
	eventually(r.t, "no connection", func() bool { all, _ := r.connections(); return all == 0 })
}

// connections counts those of the rounds, and of these the subscribed ones.
func (r *rounds) connections() (all, subscribed int) {
	r.t.Helper()
	for _, line := range r.on.connections(r.t, r.prefix) {
		all++
		if !strings.Contains(line, " sub=0 ") {
			subscribed++
		}
	}
	return all, subscribed
}

// An application may start and shut down instances as often as it likes.
func TestStartStopRounds(t *testing.T) {
	r := newRounds(t, shared(t))
	began := time.Now()
	for n := range 500 {
		r.round(nil)
		if left := r.on.admin.ZRange(within(t), r.prefix+":instances", 0, -1).Val(); len(left) > 0 {
			t.Fatalf("round %d: still one of the fleet: %v", n, left)
		}
		if took := time.Since(began); took > 2*patience { // mostly 3 seconds
			t.Fatalf("%d rounds took %v", n+1, took)
		}
	}
	r.nothingLeft()
}

// A shutdown at a bad moment leaves nothing behind either.
func TestShutdownAtABadMoment(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	t.Run("at once", func(t *testing.T) {
		r := newRounds(t, shared(t))
		for range 50 {
			m := r.make()
			if err := m.Start(within(t)); err != nil {
				t.Fatal(err)
			}
			if err := m.Shutdown(within(t)); err != nil {
				t.Errorf("shutdown: %v", err)
			}
		}
		r.nothingLeft()
	})
	t.Run("during the start", func(t *testing.T) {
		r := newRounds(t, shared(t))
		for range 50 {
			m := r.make()
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := m.Start(within(t)); err != nil && !errors.Is(err, lifecycle.ErrShutdown) {
					t.Errorf("start: %v", err)
				}
			})
			wg.Go(func() {
				if err := m.Shutdown(within(t)); err != nil {
					t.Errorf("shutdown: %v", err)
				}
			})
			wg.Wait()
		}
		r.nothingLeft()
	})
	t.Run("twice at a time", func(t *testing.T) {
		r := newRounds(t, shared(t))
		for range 20 {
			m := r.start()
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					if err := m.Shutdown(within(t)); err != nil {
						t.Errorf("shutdown: %v", err)
					}
					// Either returns when all is done.
					if n := r.on.admin.Exists(within(t), r.prefix+":instances").Val(); n != 0 {
						t.Error("returned while the instance is still one of the fleet")
					}
				})
			}
			wg.Wait()
		}
		r.nothingLeft()
	})
	t.Run("with its context over", func(t *testing.T) {
		r := newRounds(t, shared(t))
		for range 20 {
			m := r.start()
			for range 2 {
				if err := m.Shutdown(cancelled); !errors.Is(err, context.Canceled) {
					t.Errorf("shutdown: %v", err)
				}
			}
		}
		r.nothingLeft()
	})
	t.Run("while Redis is away", func(t *testing.T) {
		server := startServer(t)
		r := newRounds(t, onServer(t, server), lifecycle.WithRedisTimeout(time.Second))
		for range 2 {
			r.round(func(*lifecycle.Manager) { server.Kill() })
			m := r.make()
			if err := m.Start(within(t)); !errors.Is(err, lifecycle.ErrUnavailable) {
				t.Errorf("start: %v", err)
			}
			if err := m.Shutdown(within(t)); err != nil {
				t.Errorf("shutdown: %v", err)
			}
			server.Restart(t)
			// go-redis dials again once a second where it has failed too often.
			eventually(t, "it is back", func() bool { return r.rdb.Ping(within(t)).Err() == nil })
			r.round(nil)
		}
		r.nothingLeft()
	})
	t.Run("while Redis does not answer", func(t *testing.T) {
		server := startServer(t)
		r := newRounds(t, onServer(t, server), lifecycle.WithRedisTimeout(time.Second))
		m := r.start()
		server.Pause()
		err := m.Shutdown(within(t))
		server.Resume()
		if err != nil {
			t.Errorf("shutdown: %v", err)
		}
		// What was sent meanwhile may have made it one of the fleet again; the
		// others forget it when its heartbeat is too old.
		m = r.make()
		if err := m.Start(within(t)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the other is forgotten", func() bool { return m.Stats().Instances == 1 })
		if err := m.Shutdown(within(t)); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		r.nothingLeft()
	})
}
