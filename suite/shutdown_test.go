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
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
)

func TestShutdown(t *testing.T) {
	t.Parallel()
	t.Run("before Start", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, shared(t), prefix())
		a.shutdown()
		a.shutdown()
		if err := a.m.Start(within(t)); !errors.Is(err, lifecycle.ErrShutdown) {
			t.Errorf("start: %v", err)
		}
		a.get("/hold", func(c *lifecycle.Context) {
			err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { return nil })
			if !errors.Is(err, lifecycle.ErrShutdown) {
				t.Errorf("register: %v", err)
			}
		})
		id, v := a.begin() // requests are served on
		if got := a.ok(v, "/"); got != id {
			t.Errorf("the session is %q", got)
		}
		a.ok(v, "/hold")
	})
	t.Run("waits for running hooks", func(t *testing.T) {
		t.Parallel()
		a := newAppWithoutHooks(t, shared(t), prefix())
		entered, resume := make(chan struct{}), make(chan struct{})
		a.m.OnSessionDestroyed(func(ctx context.Context, _ *lifecycle.Session) error {
			close(entered)
			<-resume
			return ctx.Err()
		})
		id, _ := a.begin()
		if err := a.m.Destroy(within(t), id, ""); err != nil {
			t.Fatal(err)
		}
		<-entered
		done := make(chan error, 1)
		go func() { done <- a.m.Shutdown(within(t)) }()
		select {
		case err := <-done:
			t.Errorf("did not wait: %v", err)
		default:
		}
		close(resume)
		if err := receive(t, done); err != nil {
			t.Error(err)
		}
		if keys := a.keys("*"); len(keys) > 0 {
			t.Errorf("not acked: %v", keys)
		}
	})
	t.Run("gives the rest back", func(t *testing.T) {
		t.Parallel()
		d, p := shared(t), prefix()
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
			if err := a.m.Destroy(within(t), id, ""); err != nil {
				t.Fatal(err)
			}
		}
		<-entered // one runs, four wait
		b := newApp(t, d, p).start()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		a.cut = true
		if err := a.m.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("shutdown: %v", err)
		}
		attempts := 0
		for range ids { // long before the lease is over
			s := b.nextDestroyed()
			if !ids[s.ID] || s.Reason != lifecycle.ReasonRevoked {
				t.Errorf("ended: %s %s", s.ID, s.Reason)
			}
			attempts += s.Attempt
		}
		if attempts != 6 {
			t.Errorf("%d attempts on the other instance: one session had run before", attempts)
		}
		if err := a.m.Shutdown(within(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("the second call: %v", err)
		}
	})
}

// With Redis away closures run all the same, and Shutdown comes to an end.
func TestShutdownWithRedisAway(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	a := newApp(t, onServer(t, server), prefix(), lifecycle.WithRedisTimeout(time.Second))
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
	if s := receive(t, ran); s.ID != id || s.Reason != lifecycle.ReasonShutdown || s.Request.URI != "/" {
		t.Errorf("ran with %s, %s, %+v", s.ID, s.Reason, s.Request)
	}
}

// When its context ends first, and Redis does not answer, Shutdown starts every
// closure all the same, once, and waits neither for one after the other nor for
// Redis again and again.
func TestShutdownCutShort(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	var unwatched unwatches
	rdb.AddHook(&unwatched)
	a := newAppWithoutHooks(t, onClient(rdb), prefix(), lifecycle.WithBuckets(1), lifecycle.WithConcurrency(1),
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
	const visitors = 300 // more than are given up in one round trip
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
	if err := receive(t, done); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
	if s := a.m.Stats(); s.HooksRun != 2*visitors || s.HooksHung != 2*visitors || s.Closures != 0 {
		t.Errorf("%d hooks were started, %d hang, %d are left", s.HooksRun, s.HooksHung, s.Closures)
	}
	if n := unwatched.Load(); n != 1 {
		t.Errorf("Redis was asked %d times to note what is no longer held", n)
	}
	close(resume)
	eventually(t, "all have returned", func() bool { return a.m.Stats().HooksHung == 0 })
	if len(calls) != visitors {
		t.Errorf("closures of %d sessions ran", len(calls))
	}
	for id, n := range calls {
		if n != 2 {
			t.Errorf("%d closures of session %s ran", n, id)
		}
	}
}

// unwatches counts the round trips that note what an instance no longer holds: no
// other script in a pipeline begins with the due-index and the dead set here.
type unwatches struct{ atomic.Int64 }

func (*unwatches) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (*unwatches) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (u *unwatches) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		args := cmds[0].Args()
		if len(args) > 4 && strings.HasSuffix(fmt.Sprint(args[3]), ":due") && strings.HasSuffix(fmt.Sprint(args[4]), ":dead") {
			u.Add(1)
		}
		return next(ctx, cmds)
	}
}

// A visitor who goes away does not stop what the request has begun.
func TestCancelledRequest(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), prefix())
	ctx, cancel := context.WithCancel(context.Background())
	a.m.OnSessionCreated(func(ctx context.Context, s *lifecycle.Session) error {
		cancel()
		a.created <- s
		return ctx.Err()
	})
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		a.destroyed <- s
		return nil
	})
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
