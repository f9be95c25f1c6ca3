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

// The hooks of an instance hang. The other instance takes over its share of the sessions.
func TestOthersTakeOverFromHungHooks(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a := newAppWithoutHooks(t, d, p, lifecycle.WithConcurrency(1), lifecycle.WithHookTimeout(10*time.Millisecond))
	hang := make(chan struct{})
	a.m.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
		<-hang
		return nil
	})
	b := newApp(t, d, p).start()
	a.start()
	redistest.Eventually(t, "two instances", func() bool { return a.m.Stats().Instances == 2 && b.m.Stats().Instances == 2 })
	ids := make(map[string]bool)
	for range 40 { // enough to have some in the share of a
		id, _ := b.begin()
		ids[id] = true
	}
	for id := range ids {
		a.del(a.liveKey(id))
	}
	a.makeAllDue()
	for range ids {
		s := b.nextDestroyed()
		if !ids[s.ID] {
			t.Errorf("the hook for session %s ran twice, or the session is unknown", s.ID)
		}
		delete(ids, s.ID)
	}
	redistest.Eventually(t, "the first instance knows that no end waits, and counts both instances", func() bool { s := a.m.Stats(); return s.Overdue == 0 && s.Instances == 2 })
	close(hang)
	redistest.Eventually(t, "the first instance is back", func() bool { return b.m.Stats().Instances == 2 && a.m.Stats().HooksHung == 0 })
}

// The hooks of the only instance hang. Stats.Overdue grows as long as ends wait: it is the
// figure for an alert.
func TestOverdueWhileHooksHang(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix(),
		lifecycle.WithConcurrency(1), lifecycle.WithHookTimeout(10*time.Millisecond))
	hang := make(chan struct{})
	var resumed sync.Once
	resume := func() { resumed.Do(func() { close(hang) }) }
	defer resume()
	a.m.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
		<-hang
		return nil
	})
	a.start()
	redistest.Eventually(t, "one instance", func() bool { return a.m.Stats().Instances == 1 })
	for range 2 { // the hook of one hangs, the other waits
		id, _ := a.begin()
		a.end(id, "")
	}
	redistest.Eventually(t, "the instance gives up its share of the sessions", func() bool {
		return a.log.Contains(logHooksHang) && len(a.instances()) == 0
	})
	// The instance itself no longer looks for ends.
	redistest.Eventually(t, "Overdue is more than a second", func() bool { return a.m.Stats().Overdue > time.Second })
	if n := a.m.Stats().Instances; n != 1 {
		t.Errorf("%d instances", n)
	}
	resume()
	redistest.Eventually(t, "both ends are finished", func() bool {
		s := a.m.Stats()
		return s.HooksHung == 0 && s.Overdue == 0 && len(a.keys("*")) == 0
	})
}

// An instance takes no more ends than it can run soon, although notifications and its own
// checks find more. Other instances can take the others, also after a crash of this one.
func TestAnInstanceTakesFewEndsAtATime(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix(), lifecycle.WithConcurrency(1))
	entered, resume := make(chan struct{}, 200), make(chan struct{})
	a.m.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
		entered <- struct{}{}
		<-resume
		return nil
	})
	a.start().listens()
	const n = 100
	for range n {
		a.begin()
	}
	a.del(a.keys("live:*")...)
	a.makeAllDue()
	redistest.Receive(t, entered)
	redistest.Eventually(t, "the instance has taken 16 ends", func() bool { return len(a.keys("end:*")) >= 16 })
	if got := len(a.keys("end:*")); got != 16 {
		t.Errorf("the instance has taken %d ends, want 16", got)
	}
	close(resume)
	for range n - 1 {
		redistest.Receive(t, entered)
	}
}

// An end has waited for longer than WithLease on an instance that could not reach Redis.
// The instance does not run its hooks, because another instance may run them by now.
func TestLateHooksAreLeftToOthers(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	const lease = 300 * time.Millisecond
	a := newAppWithoutHooks(t, onServer(t, server), redistest.Prefix(), lifecycle.WithConcurrency(1),
		lifecycle.WithLease(lease), lifecycle.WithRedisTimeout(50*time.Millisecond))
	entered, resume := make(chan *lifecycle.Session, 10), make(chan struct{})
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		entered <- s
		<-resume
		return nil
	})
	for range 2 {
		id, _ := a.begin()
		a.end(id, "")
	}
	first := redistest.Receive(t, entered)
	server.Pause()
	began := time.Now()
	redistest.Eventually(t, "both leases are over", func() bool { return time.Since(began) > 2*lease })
	resume <- struct{}{} // the first hook returns, and the instance cannot tell Redis
	redistest.Eventually(t, "the instance has tried to finish the end", func() bool { return a.m.Stats().HooksRun == 1 && a.log.Contains(logCannotFinish) })
	if len(entered) > 0 {
		t.Error("the second hook ran after its lease was over")
	}
	server.Resume()
	close(resume)
	second := redistest.Receive(t, entered)
	for second.ID == first.ID { // the first end was finished too late, so that it is tried again
		second = redistest.Receive(t, entered)
	}
	if second.Attempt < 2 {
		t.Errorf("attempt %d, want a second one", second.Attempt)
	}
}

// Another instance takes over the end while closures run. The closures still run to their
// end, and their context is not cancelled.
func TestClosuresOutliveTheLease(t *testing.T) {
	t.Parallel()
	const lease = 300 * time.Millisecond
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix(), lifecycle.WithLease(lease))
	entered, resume, done := make(chan struct{}), make(chan struct{}), make(chan error, 2)
	a.get("/hold", func(c *lifecycle.Context) {
		err := register(c, func(ctx context.Context, _ *lifecycle.Session) error {
			done <- ctx.Err()
			return nil
		})
		err = errors.Join(err, register(c, func(ctx context.Context, _ *lifecycle.Session) error {
			close(entered)
			<-resume
			done <- ctx.Err()
			return nil
		}))
		a.answer(c, err)
	})
	id, v := a.begin()
	a.ok(v, "/hold")
	a.end(id, "")
	<-entered
	// Another instance takes over the end.
	key := a.key("end:" + id)
	a.admin.HSet(redistest.Within(t), key, "by", "other:1")
	a.admin.ZAddXX(redistest.Within(t), a.key("due"), zAt(id, float64(time.Now().Add(time.Hour).UnixMilli())))
	began := time.Now()
	redistest.Eventually(t, "Redis has refused to renew the lease", func() bool { return time.Since(began) > lease })
	close(resume)
	for range 2 {
		if err := redistest.Receive(t, done); err != nil {
			t.Errorf("context of a closure: %v", err)
		}
	}
	redistest.Eventually(t, "the instance has given up the end", func() bool { return a.m.Stats().Closures == 0 })
	if by := a.admin.HGet(redistest.Within(t), key, "by").Val(); by != "other:1" {
		t.Errorf("the end belongs to %q, want the other instance", by)
	}
}
