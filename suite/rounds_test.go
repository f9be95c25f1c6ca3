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
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// rounds makes one instance after the other in one process, with the same client. Its
// tests are not parallel, because they count the goroutines of the process.
type rounds struct {
	t          *testing.T
	prefix     string
	on         deployment
	rdb        redis.UniversalClient
	opts       []lifecycle.Option
	goroutines int // after the first round
}

// roundsPool is the size of the client's pool.
const roundsPool = 10

func newRounds(t *testing.T, d deployment, opts ...lifecycle.Option) *rounds {
	t.Helper()
	r := &rounds{t: t, prefix: redistest.Prefix(), on: d, opts: append(d.opts, opts...)}
	r.rdb = d.client(t, r.prefix, func(o *redis.UniversalOptions) {
		// A user with few rights may not set a name; the user's name will do.
		if o.PoolSize = roundsPool; o.Username == "" {
			o.ClientName = r.prefix
		}
	})
	r.round(nil) // go-redis and others start some goroutines only once
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

// start starts an instance. It waits until the instance is the only one and has
// subscribed to its channels.
func (r *rounds) start() *lifecycle.Manager {
	r.t.Helper()
	m := r.make()
	if err := m.Start(redistest.Within(r.t)); err != nil {
		r.t.Fatal(err)
	}
	redistest.Eventually(r.t, "the instance is the only one and has subscribed", func() bool {
		s := m.Stats()
		return s.Instances == 1 && s.Notifications == r.on.notifications &&
			len(r.on.channels(r.t, r.prefix+":instance:"+instance(m))) == 1
	})
	return m
}

// round starts an instance, calls between unless it is nil, and shuts the instance down.
func (r *rounds) round(between func(m *lifecycle.Manager)) {
	r.t.Helper()
	m := r.start()
	if between != nil {
		between(m)
	}
	if err := m.Shutdown(redistest.Within(r.t)); err != nil {
		r.t.Fatalf("shutdown: %v", err)
	}
}

// nothingLeft waits until everything is as after the first round: no further goroutine, no
// subscription, no connection outside of the pool, and in Redis only the number of
// buckets.
func (r *rounds) nothingLeft() {
	r.t.Helper()
	if keys := r.on.keys(r.t, r.prefix+"*"); len(keys) != 1 || keys[0] != r.prefix+":buckets" {
		r.t.Errorf("keys: %q, want only %s:buckets", keys, r.prefix)
	}
	redistest.Eventually(r.t, "there are only connections of the pool, and no subscription", func() bool {
		all, subscribed := r.connections()
		return all <= roundsPool*r.on.masters(r.t) && subscribed == 0
	})
	redistest.Eventually(r.t, fmt.Sprintf("there are only %d goroutines", r.goroutines), func() bool { return runtime.NumGoroutine() <= r.goroutines })
	if err := r.rdb.Close(); err != nil {
		r.t.Error(err)
	}
	redistest.Eventually(r.t, "there is no connection", func() bool { all, _ := r.connections(); return all == 0 })
}

// connections counts the connections of the client, and those of them that have
// subscriptions.
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

// An application may start and shut down instances as often as it wants.
func TestStartStopRounds(t *testing.T) {
	r := newRounds(t, shared(t))
	began := time.Now()
	for n := range 500 {
		r.round(nil)
		if left := r.on.admin.ZRange(redistest.Within(t), r.prefix+":instances", 0, -1).Val(); len(left) > 0 {
			t.Fatalf("round %d: Redis still lists instances: %v", n, left)
		}
		if took := time.Since(began); took > 2*redistest.Patience { // it usually takes 3 seconds
			t.Fatalf("%d rounds took %v", n+1, took)
		}
	}
	r.nothingLeft()
}

// A shutdown at a bad moment leaves nothing behind either.
func TestShutdownAtABadMoment(t *testing.T) {
	t.Run("at once", shutdownAtOnce)
	t.Run("during the start", shutdownDuringTheStart)
	t.Run("twice at a time", shutdownTwiceAtATime)
	t.Run("with its context over", shutdownWithItsContextOver)
	t.Run("while Redis is away", shutdownWhileRedisIsAway)
	t.Run("while Redis does not answer", shutdownWhileRedisDoesNotAnswer)
}

func shutdownAtOnce(t *testing.T) {
	r := newRounds(t, shared(t))
	for range 50 {
		m := r.make()
		if err := m.Start(redistest.Within(t)); err != nil {
			t.Fatal(err)
		}
		if err := m.Shutdown(redistest.Within(t)); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	}
	r.nothingLeft()
}

func shutdownDuringTheStart(t *testing.T) {
	r := newRounds(t, shared(t))
	for range 50 {
		m := r.make()
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := m.Start(redistest.Within(t)); err != nil && !errors.Is(err, lifecycle.ErrShutdown) {
				t.Errorf("start: %v", err)
			}
		})
		wg.Go(func() {
			if err := m.Shutdown(redistest.Within(t)); err != nil {
				t.Errorf("shutdown: %v", err)
			}
		})
		wg.Wait()
	}
	r.nothingLeft()
}

func shutdownTwiceAtATime(t *testing.T) {
	r := newRounds(t, shared(t))
	for range 20 {
		m := r.start()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if err := m.Shutdown(redistest.Within(t)); err != nil {
					t.Errorf("shutdown: %v", err)
				}
				// Each call returns only when everything is done.
				if n := r.on.admin.Exists(redistest.Within(t), r.prefix+":instances").Val(); n != 0 {
					t.Error("Shutdown returned while Redis still lists the instance")
				}
			})
		}
		wg.Wait()
	}
	r.nothingLeft()
}

func shutdownWithItsContextOver(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
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
}

func shutdownWhileRedisIsAway(t *testing.T) {
	server := startServer(t)
	r := newRounds(t, onServer(t, server), lifecycle.WithRedisTimeout(time.Second))
	for range 2 {
		r.round(func(*lifecycle.Manager) { server.Kill() })
		m := r.make()
		if err := m.Start(redistest.Within(t)); !errors.Is(err, lifecycle.ErrUnavailable) {
			t.Errorf("start: %v", err)
		}
		if err := m.Shutdown(redistest.Within(t)); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		server.Restart(t)
		// After too many failures go-redis dials only once a second.
		redistest.Eventually(t, "the client reaches Redis again", func() bool { return r.rdb.Ping(redistest.Within(t)).Err() == nil })
		r.round(nil)
	}
	r.nothingLeft()
}

func shutdownWhileRedisDoesNotAnswer(t *testing.T) {
	server := startServer(t)
	r := newRounds(t, onServer(t, server), lifecycle.WithRedisTimeout(time.Second))
	m := r.start()
	server.Pause()
	err := m.Shutdown(redistest.Within(t))
	server.Resume()
	if err != nil {
		t.Errorf("shutdown: %v", err)
	}
	// A heartbeat that Redis got only now may have put the instance into the list again. The
	// other instances remove it when this heartbeat is too old.
	m = r.make()
	if err := m.Start(redistest.Within(t)); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, "only the new instance is left", func() bool { return m.Stats().Instances == 1 })
	if err := m.Shutdown(redistest.Within(t)); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	r.nothingLeft()
}
