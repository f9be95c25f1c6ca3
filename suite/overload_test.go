package suite_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
)

// An instance whose hooks hang gives its buckets to the others.
func TestOthersTakeOverFromHungHooks(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
	a := newAppWithoutHooks(t, d, p, lifecycle.WithConcurrency(1), lifecycle.WithHookTimeout(10*time.Millisecond))
	hang := make(chan struct{})
	a.m.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
		<-hang
		return nil
	})
	b := newApp(t, d, p).start()
	a.start()
	eventually(t, "two instances", func() bool { return a.m.Stats().Instances == 2 && b.m.Stats().Instances == 2 })
	ids := make(map[string]bool)
	for range 40 { // in all buckets, those of a among them
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
			t.Errorf("session %s ran twice, or is unknown", s.ID)
		}
		delete(ids, s.ID)
	}
	// What waits is told of as long as nobody takes it, and the others are counted.
	eventually(t, "nothing waits", func() bool { s := a.m.Stats(); return s.Overdue == 0 && s.Instances == 2 })
	close(hang)
	eventually(t, "a is back", func() bool { return b.m.Stats().Instances == 2 && a.m.Stats().HooksHung == 0 })
}

// makeAllDue lets the due-index lead to all ends at once: with or without notifications.
func (a *app) makeAllDue() {
	a.t.Helper()
	for _, key := range a.keys("due") {
		for _, id := range a.admin.ZRange(within(a.t), key, 0, -1).Val() {
			a.admin.ZAddXX(within(a.t), key, zAt(id, 1))
		}
	}
}

// Where nobody else is there to take over, how long ends wait goes on to be told:
// it is the figure to alert on.
func TestOverdueWhileHooksHang(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), prefix(),
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
	eventually(t, "one instance", func() bool { return a.m.Stats().Instances == 1 })
	for range 2 { // the hook of one hangs, the other waits
		id, _ := a.begin()
		if err := a.m.Destroy(within(t), id, ""); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the buckets are given up", func() bool {
		return contains(a.log, "too many hooks ignore their context") && len(a.admin.ZRange(within(t), a.prefix+":instances", 0, -1).Val()) == 0
	})
	// Long after the last look of its own.
	eventually(t, "the wait grows", func() bool { return a.m.Stats().Overdue > time.Second })
	if n := a.m.Stats().Instances; n != 1 {
		t.Errorf("%d instances", n)
	}
	resume()
	eventually(t, "both ends are acked", func() bool {
		s := a.m.Stats()
		return s.HooksHung == 0 && s.Overdue == 0 && len(a.keys("*")) == 0
	})
}

// Whatever finds ends, no more are claimed than can be run soon: the others are
// left to other instances, and to a crash.
func TestClaimsAreBounded(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), prefix(), lifecycle.WithConcurrency(1))
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
	receive(t, entered)
	eventually(t, "as many claims as are wanted", func() bool { return len(a.keys("end:*")) >= 16 })
	if got := len(a.keys("end:*")); got != 16 {
		t.Errorf("%d ends are claimed", got)
	}
	close(resume)
	for range n - 1 {
		receive(t, entered)
	}
}

// A claim that has waited beyond its lease is not run: others may have it.
func TestWaitingClaimsLapse(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	const lease = 300 * time.Millisecond
	a := newAppWithoutHooks(t, onServer(t, server), prefix(), lifecycle.WithConcurrency(1),
		lifecycle.WithLease(lease), lifecycle.WithRedisTimeout(50*time.Millisecond))
	entered, resume := make(chan *lifecycle.Session, 10), make(chan struct{})
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		entered <- s
		<-resume
		return nil
	})
	for range 2 {
		id, _ := a.begin()
		if err := a.m.Destroy(within(t), id, ""); err != nil {
			t.Fatal(err)
		}
	}
	first := receive(t, entered)
	server.Pause()
	began := time.Now()
	eventually(t, "the leases are over", func() bool { return time.Since(began) > 2*lease })
	resume <- struct{}{} // the first hook returns; its ack cannot be sent
	eventually(t, "it is retried", func() bool { return a.m.Stats().HooksRun == 1 && contains(a.log, "finishing ends fails") })
	if len(entered) > 0 {
		t.Error("the second claim was run beyond its lease")
	}
	server.Resume()
	close(resume)
	second := receive(t, entered)
	for second.ID == first.ID { // whose ack was too late
		second = receive(t, entered)
	}
	if second.Attempt < 2 {
		t.Errorf("attempt %d", second.Attempt)
	}
}

// Closures run to their end even if the claim that brought them is lost.
func TestClosuresOutliveTheLease(t *testing.T) {
	t.Parallel()
	const lease = 300 * time.Millisecond
	a := newAppWithoutHooks(t, shared(t), prefix(), lifecycle.WithLease(lease))
	entered, resume, done := make(chan struct{}), make(chan struct{}), make(chan error, 2)
	a.get("/hold", func(c *lifecycle.Context) {
		err := c.OnSessionDestroyed(func(ctx context.Context, _ *lifecycle.Session) error {
			done <- ctx.Err()
			return nil
		})
		err = errors.Join(err, c.OnSessionDestroyed(func(ctx context.Context, _ *lifecycle.Session) error {
			close(entered)
			<-resume
			done <- ctx.Err()
			return nil
		}))
		a.answer(c, err)
	})
	id, v := a.begin()
	a.ok(v, "/hold")
	if err := a.m.Destroy(within(t), id, ""); err != nil {
		t.Fatal(err)
	}
	<-entered
	// Somebody else takes the claim.
	key := a.key("end:" + id)
	a.admin.HSet(within(t), key, "by", "other:1")
	a.admin.ZAddXX(within(t), a.key("due"), zAt(id, float64(time.Now().Add(time.Hour).UnixMilli())))
	began := time.Now()
	eventually(t, "the renewal is refused", func() bool { return time.Since(began) > lease })
	close(resume)
	for range 2 {
		if err := receive(t, done); err != nil {
			t.Errorf("a closure's context: %v", err)
		}
	}
	eventually(t, "the claim is given up", func() bool { return a.m.Stats().Closures == 0 })
	if by := a.admin.HGet(within(t), key, "by").Val(); by != "other:1" {
		t.Errorf("the claim is %q's", by)
	}
}
