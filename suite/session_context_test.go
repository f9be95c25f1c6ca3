package suite_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// contexts adds the page /context, which sends the session's context to a channel.
func (a *app) contexts() chan context.Context {
	got := make(chan context.Context, 1000)
	a.get("/context", func(c *lifecycle.Context) {
		got <- c.SessionContext()
		a.answer(c, nil)
	})
	return got
}

// contextOf returns what SessionContext gives to a request of v.
func (a *app) contextOf(v *visitor, from chan context.Context) context.Context {
	a.t.Helper()
	a.ok(v, "/context")
	return <-from
}

// checkEnded waits until a context has ended and checks why.
func checkEnded(t *testing.T, ctx context.Context, reason lifecycle.Reason, is, isNot error) {
	t.Helper()
	redistest.Receive(t, ctx.Done())
	cause := context.Cause(ctx)
	var ended *lifecycle.EndedError
	if !errors.As(cause, &ended) || ended.Reason != reason || !errors.Is(cause, is) || errors.Is(cause, isNot) {
		t.Errorf("cause %v", cause)
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("error %v", ctx.Err())
	}
}

// The context ends on every instance that was asked for it, whichever instance ends the
// session. It does not end with its request.
func TestSessionContextEndsOnAllInstances(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a, b, c := newApp(t, d, p), newApp(t, d, p), newApp(t, d, p).start()
	id, v := a.begin()
	onA, onB := a.contextOf(v, a.contexts()), b.contextOf(v, b.contexts())
	other, w := a.begin()
	// The request of a page on which the context was asked for is over.
	if onA.Err() != nil || onB.Err() != nil {
		t.Errorf("ended too early: %v, %v", context.Cause(onA), context.Cause(onB))
	}
	a.ok(v, "/rotate") // no end
	c.end(id, "banned")
	for _, ctx := range []context.Context{onA, onB} {
		checkEnded(t, ctx, "banned", lifecycle.ErrSessionEnded, lifecycle.ErrShutdown)
	}
	if got := context.Cause(onA).Error(); got != "lifecycle: the session has ended: banned" {
		t.Errorf("text %q", got)
	}
	if got := a.ok(w, "/"); got != other {
		t.Errorf("the other session: %q", got)
	}
	redistest.Eventually(t, "nothing is held", func() bool { return a.m.Stats().Closures+b.m.Stats().Closures == 0 })
	redistest.Eventually(t, "Redis has nothing of the session", func() bool { return len(a.keys("*:"+id)) == 0 })
}

func TestSessionContextEndsByTimeout(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithIdleTimeout(300*time.Millisecond))
	checkEnded(t, a.contextOf(new(visitor), a.contexts()), lifecycle.ReasonIdleTimeout, lifecycle.ErrSessionEnded, lifecycle.ErrShutdown)
}

// All requests of a session get one context, for one closure and one round trip.
func TestSessionContextIsShared(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	got := a.contexts()
	id, v := a.begin()
	var wg sync.WaitGroup
	const requests = 30
	for range requests {
		wg.Go(func() {
			mine := *v
			a.ok(&mine, "/context")
		})
	}
	wg.Wait()
	first := <-got
	for range requests - 1 {
		if ctx := <-got; ctx != first {
			t.Error("two contexts")
		}
	}
	if n := a.m.Stats().Closures; n != 1 {
		t.Errorf("%d closures, want one", n)
	}
	a.ok(v, "/destroy")
	checkEnded(t, first, lifecycle.ReasonDestroyed, lifecycle.ErrSessionEnded, lifecycle.ErrShutdown)
	if s := a.nextDestroyed(); s.ID != id {
		t.Errorf("ended: %s", s.ID)
	}
}

// The context of a session costs one round trip, and none once this instance has it.
func TestCostOfSessionContext(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	got := a.contexts()
	a.hold(nothing)
	id, v := a.begin()
	a.ok(v, "/hold") // from now on the server has the script
	sent := watch(a.rdb)
	for range 3 {
		a.contextOf(v, got)
		if n := sent.naming("watch:" + id); n != 1 {
			t.Errorf("sent %v", sent.of(""))
		}
	}
}

// The context has ended when the session's closures run, even those that were registered
// later.
func TestSessionContextEndsBeforeTheClosures(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	got := a.contexts()
	var ctx context.Context
	seen := make(chan error, 10)
	a.hold(func(context.Context, *lifecycle.Session) error {
		seen <- context.Cause(ctx)
		return nil
	})
	for _, end := range []func(id string){func(id string) { a.end(id, "over") }, func(string) { a.shutdown() }} {
		id, v := a.begin()
		a.ok(v, "/hold")
		ctx = a.contextOf(v, got)
		a.ok(v, "/hold")
		end(id)
		for range 2 {
			if cause := redistest.Receive(t, seen); cause == nil {
				t.Error("the context had not ended when the closure ran")
			}
		}
	}
}

// At the shutdown the context ends although the session lives on.
func TestSessionContextAtShutdown(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a, b := newApp(t, d, p), newApp(t, d, p).start()
	got := a.contexts()
	id, v := a.begin()
	ctx := a.contextOf(v, got)
	a.shutdown()
	checkEnded(t, ctx, lifecycle.ReasonShutdown, lifecycle.ErrShutdown, lifecycle.ErrSessionEnded)
	if keys := a.keys("watch:*"); len(keys) > 0 {
		t.Errorf("Redis still has %v", keys)
	}
	after := a.contextOf(v, got)
	if cause := context.Cause(after); !errors.Is(cause, lifecycle.ErrShutdown) {
		t.Errorf("after the shutdown: %v", cause)
	}
	onB := b.contextOf(v, b.contexts())
	if onB.Err() != nil {
		t.Errorf("on the other instance: %v", context.Cause(onB))
	}
	b.end(id, "over")
	checkEnded(t, onB, "over", lifecycle.ErrSessionEnded, lifecycle.ErrShutdown)
}

// Where the end of the session cannot be watched, the context has ended, and its cause says
// why.
func TestSessionContextThatCannotBe(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithLazyCreation())
	got := a.contexts()
	if cause := context.Cause(a.contextOf(new(visitor), got)); !errors.Is(cause, lifecycle.ErrNoSession) {
		t.Errorf("without a session: %v", cause)
	}
	for _, by := range []string{"this request", "another request"} {
		a.get("/end/"+by[:4], func(c *lifecycle.Context) {
			if by == "this request" {
				if err := c.DestroySession(); err != nil {
					t.Error(err)
				}
			} else {
				a.end(c.Session().ID, "")
			}
			got <- c.SessionContext()
		})
		v := new(visitor)
		a.ok(v, "/set?user=alice")
		a.ok(v, "/end/"+by[:4])
		ctx := <-got
		if cause := context.Cause(ctx); ctx.Err() == nil || !errors.Is(cause, lifecycle.ErrSessionEnded) {
			t.Errorf("ended by %s: %v", by, cause)
		}
	}
	if n := a.m.Stats().Closures; n != 0 {
		t.Errorf("%d closures are held", n)
	}
}

// While Redis is away the context has ended with that error. Afterwards there is one.
func TestSessionContextWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	a := newApp(t, onServer(t, server), redistest.Prefix(), lifecycle.WithRedisTimeout(time.Second))
	got := a.contexts()
	a.get("/away", func(c *lifecycle.Context) {
		server.Pause()
		defer server.Resume()
		got <- c.SessionContext()
	})
	id, v := a.begin()
	a.ok(v, "/away")
	if cause := context.Cause(<-got); !errors.Is(cause, lifecycle.ErrUnavailable) {
		t.Errorf("while Redis is away: %v", cause)
	}
	ctx := a.contextOf(v, got)
	if ctx.Err() != nil {
		t.Fatalf("afterwards: %v", context.Cause(ctx))
	}
	a.end(id, "over")
	checkEnded(t, ctx, "over", lifecycle.ErrSessionEnded, lifecycle.ErrShutdown)
}
