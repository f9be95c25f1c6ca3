package suite_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Shutdown works at any time. It waits for hooks that run, and gives the ends that wait to
// other instances if its context ends first.
func TestShutdown(t *testing.T) {
	t.Parallel()
	t.Run("before Start", shutdownBeforeStart)
	t.Run("waits for running hooks", shutdownWaitsForHooks)
	t.Run("gives the rest back", shutdownGivesTheRestBack)
}

func shutdownBeforeStart(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.shutdown()
	a.shutdown()
	if err := a.m.Start(redistest.Within(t)); !errors.Is(err, lifecycle.ErrShutdown) {
		t.Errorf("start: %v", err)
	}
	a.get("/hold", func(c *lifecycle.Context) {
		if err := register(c, nothing); !errors.Is(err, lifecycle.ErrShutdown) {
			t.Errorf("register: %v", err)
		}
	})
	id, v := a.begin() // requests are still served
	if got := a.ok(v, "/"); got != id {
		t.Errorf("session %q, want %s", got, id)
	}
	a.ok(v, "/hold")
}

func shutdownWaitsForHooks(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix())
	entered, resume := make(chan struct{}), make(chan struct{})
	a.m.OnSessionDestroyed(func(ctx context.Context, _ *lifecycle.Session) error {
		close(entered)
		<-resume
		return ctx.Err()
	})
	id, _ := a.begin()
	a.end(id, "")
	<-entered
	done := make(chan error, 1)
	go func() { done <- a.m.Shutdown(redistest.Within(t)) }()
	select {
	case err := <-done:
		t.Errorf("Shutdown did not wait: %v", err)
	default:
	}
	close(resume)
	if err := redistest.Receive(t, done); err != nil {
		t.Error(err)
	}
	if keys := a.keys("*"); len(keys) > 0 {
		t.Errorf("keys of a finished end are left: %v", keys)
	}
}

func shutdownGivesTheRestBack(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a := newAppWithoutHooks(t, d, p, lifecycle.WithConcurrency(1), lifecycle.WithLease(10*time.Minute))
	entered := make(chan struct{}, 1)
	a.m.OnSessionDestroyed(func(ctx context.Context, _ *lifecycle.Session) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	ids := make(map[string]bool)
	for range 5 {
		id, _ := a.begin()
		ids[id] = true
	}
	for id := range ids {
		a.end(id, "")
	}
	<-entered // the hook of one end runs, the other four wait
	b := newApp(t, d, p).start()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a.cut = true
	if err := a.m.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
	attempts := 0
	for range ids { // the other instance gets them long before the lease is over
		s := b.nextDestroyed()
		if !ids[s.ID] || s.Reason != lifecycle.ReasonRevoked {
			t.Errorf("ended: %s %s", s.ID, s.Reason)
		}
		attempts += s.Attempt
	}
	if attempts != 6 {
		t.Errorf("%d attempts in sum on the other instance, want 6: only one hook had run before", attempts)
	}
	if err := a.m.Shutdown(redistest.Within(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("the second call: %v", err)
	}
}

// While Redis does not answer, Shutdown still runs the closures, and returns.
func TestShutdownWithRedisAway(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	a := newApp(t, onServer(t, server), redistest.Prefix(), lifecycle.WithRedisTimeout(time.Second))
	ran := make(chan *lifecycle.Session, 1)
	a.hold(func(_ context.Context, s *lifecycle.Session) error {
		ran <- s
		return nil
	})
	id, v := a.begin()
	a.ok(v, "/hold")
	server.Pause()
	defer server.Resume()
	a.shutdown()
	if s := redistest.Receive(t, ran); s.ID != id || s.Reason != lifecycle.ReasonShutdown || s.Request.URI != "/" {
		t.Errorf("closure: %s, %s, %+v", s.ID, s.Reason, s.Request)
	}
}

// The context of Shutdown ends, and Redis does not answer. Shutdown still starts every
// closure, once. It does not wait for one closure after the other, and it tries only once
// to tell Redis which closures the instance no longer has.
func TestShutdownCutShort(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	// Counts the pipelines that tell Redis which closures the instance no longer has. In this
	// test only they have commands whose first keys are the due-index and the dead set.
	var told atomic.Int64
	rdb.AddHook(onRoundTrip{before: func(r roundTrip) {
		args := r.commands[0].Args()
		if r.pipeline && len(args) > 4 && strings.HasSuffix(fmt.Sprint(args[3]), ":due") && strings.HasSuffix(fmt.Sprint(args[4]), ":dead") {
			told.Add(1)
		}
	}})
	a := newAppWithoutHooks(t, onClient(rdb), redistest.Prefix(), lifecycle.WithBuckets(1), lifecycle.WithConcurrency(1),
		lifecycle.WithRedisTimeout(time.Second))
	a.cut = true
	var mu sync.Mutex
	calls := make(map[string]int) // by session
	resume := make(chan struct{})
	a.hold(func(_ context.Context, s *lifecycle.Session) error {
		mu.Lock()
		calls[s.ID]++
		mu.Unlock()
		<-resume
		return nil
	})
	const visitors = 300 // more than the library tells Redis in one round trip
	for range visitors {
		_, v := a.begin()
		a.ok(v, "/hold")
		a.ok(v, "/hold")
	}
	server.Pause()
	defer server.Resume()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	done := make(chan error, 1)
	go func() { done <- a.m.Shutdown(ctx) }()
	if err := redistest.Receive(t, done); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
	if s := a.m.Stats(); s.HooksRun != 2*visitors || s.HooksHung != 2*visitors || s.Closures != 0 {
		t.Errorf("%d closures were started, %d hang, %d are left", s.HooksRun, s.HooksHung, s.Closures)
	}
	if n := told.Load(); n != 1 {
		t.Errorf("Shutdown tried %d times to tell Redis which closures it no longer has, want once", n)
	}
	close(resume)
	redistest.Eventually(t, "all closures have returned", func() bool { return a.m.Stats().HooksHung == 0 })
	if len(calls) != visitors {
		t.Errorf("closures of %d sessions ran, want %d", len(calls), visitors)
	}
	for id, n := range calls {
		if n != 2 {
			t.Errorf("%d closures of session %s ran, want two", n, id)
		}
	}
}

// A visitor closes the connection during the request. What the request has begun is done
// all the same.
func TestCancelledRequest(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix())
	ctx, cancel := context.WithCancel(context.Background())
	a.m.OnSessionCreated(func(ctx context.Context, s *lifecycle.Session) error {
		cancel()
		a.created <- s
		return ctx.Err()
	})
	a.reportEnds()
	a.get("/all", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		s.Set("user", "alice")
		for what, err := range map[string]error{"save": s.Save(), "rotate": c.RotateSession(), "destroy": c.DestroySession()} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
	a.router.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/all", nil).WithContext(ctx))
	created, ended := a.nextCreated(), a.nextDestroyed()
	if ended.ID != created.ID || ended.Get("user") != "alice" || ended.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("ended: %s, %v, %s", ended.ID, ended.Values(), ended.Reason)
	}
	if s := a.m.Stats(); s.HooksFailed != 0 {
		t.Error("the created hook's context ended with the request")
	}
}

// A request that arrives during the shutdown is served, and takes no hook away from it.
func TestRequestsDuringAShutdownLoseNoHooks(t *testing.T) {
	t.Parallel()
	const rounds, sessions, clients = 10, 5, 4
	for range rounds {
		a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSkipper(func(c *gin.Context) bool { return c.FullPath() == "/ping" }))
		a.router.GET("/ping", func(c *gin.Context) { c.Status(http.StatusNoContent) })
		var ran atomic.Int64
		a.hold(func(context.Context, *lifecycle.Session) error {
			ran.Add(1)
			return nil
		})
		for range sessions {
			a.ok(new(visitor), "/hold")
		}
		over := make(chan struct{})
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				for {
					select {
					case <-over:
						return
					default:
						a.router.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/ping", http.NoBody))
					}
				}
			})
		}
		a.shutdown()
		close(over)
		wg.Wait()
		if n := ran.Load(); n != sessions {
			t.Errorf("%d of %d hooks ran", n, sessions)
		}
	}
}
