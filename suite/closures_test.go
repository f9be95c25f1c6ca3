package suite_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
)

// Promise 5: closures run on the instance that registered them, once, wherever
// the end was detected.
func TestClosuresRunWhereTheyWereRegistered(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
	var j journal
	instances := make([]*app, 3)
	done := make(chan string, 10)
	for i := range instances {
		a := newApp(t, d, p).start()
		instances[i] = a
		a.hold(func(_ context.Context, s *lifecycle.Session) error {
			j.add(fmt.Sprint(i))
			done <- fmt.Sprintf("%d %s %s %v", i, s.ID, s.Reason, s.Get("user"))
			return nil
		})
	}
	a, b, c := instances[0], instances[1], instances[2]
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	a.ok(v, "/hold")
	b.ok(v, "/hold")
	if err := c.m.Destroy(within(t), id, "banned"); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"0 " + id + " banned alice": true, "1 " + id + " banned alice": true}
	for range 2 {
		got := receive(t, done)
		if !want[got] {
			t.Errorf("ran: %s", got)
		}
		delete(want, got)
	}
	c.nextDestroyed()
	for _, x := range instances {
		x.shutdown()
	}
	if len(done) > 0 {
		t.Errorf("ran again: %s", &j)
	}
	if keys := a.keys("watch:*"); len(keys) > 0 {
		t.Errorf("left behind: %v", keys)
	}
}

// Promise 5: a missed message delays closures; it does not lose them.
func TestClosuresRunAfterAMissedMessage(t *testing.T) {
	t.Parallel()
	d, p := onServer(t, startServer(t)), prefix()
	a := newApp(t, d, p, tuned(testonly.Tuning{Sweep: 50 * time.Millisecond}), lifecycle.WithNotifications(false))
	b := newApp(t, d, p, lifecycle.WithNotifications(false)).start()
	ran := make(chan lifecycle.Reason, 10)
	a.hold(func(_ context.Context, s *lifecycle.Session) error {
		ran <- s.Reason
		return nil
	})
	id, v := a.begin()
	a.ok(v, "/hold")
	// Nobody gets messages any more: PUBLISH does nothing.
	if err := a.admin.Do(within(t), "ACL", "SETUSER", "default", "resetchannels").Err(); err != nil {
		t.Fatal(err)
	}
	if err := b.m.Destroy(within(t), id, ""); err != nil {
		t.Fatal(err)
	}
	if r := receive(t, ran); r != lifecycle.ReasonRevoked {
		t.Errorf("reason %q", r)
	}
	a.admin.Do(within(t), "ACL", "SETUSER", "default", "allchannels")
}

// Promise 5: what an instance still holds runs at its shutdown, and not again.
func TestClosuresRunAtShutdown(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
	a, b := newApp(t, d, p), newApp(t, d, p).start()
	ran := make(chan *lifecycle.Session, 10)
	a.hold(func(_ context.Context, s *lifecycle.Session) error {
		ran <- s
		return nil
	})
	id, v := a.begin()
	a.ok(v, "/hold")
	a.ok(v, "/set?user=alice")
	a.shutdown()
	if s := receive(t, ran); s.ID != id || s.Reason != lifecycle.ReasonShutdown || s.Get("user") != "alice" {
		t.Errorf("ran with %s, %q, %v", s.ID, s.Reason, s.Values())
	}
	a.quiet() // the session lives on
	if got := b.ok(v, "/"); got != id {
		t.Errorf("the session is %q on the other instance", got)
	}
	if w := a.visit(v, "/hold"); w.Body.String() != lifecycle.ErrShutdown.Error() {
		t.Errorf("registering after shutdown: %d %s", w.Code, w.Body)
	}
	if err := b.m.Destroy(within(t), id, ""); err != nil {
		t.Fatal(err)
	}
	b.nextDestroyed()
	if len(ran) > 0 {
		t.Error("ran again at the end")
	}
}
