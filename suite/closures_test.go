package suite_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
)

// Guarantee 5: a closure runs once, on the instance that registered it, whichever instance
// finds the end.
func TestClosuresRunWhereTheyWereRegistered(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
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
	c.end(id, "banned")
	want := map[string]bool{"0 " + id + " banned alice": true, "1 " + id + " banned alice": true}
	for range 2 {
		got := redistest.Receive(t, done)
		if !want[got] {
			t.Errorf("a closure ran with %s", got)
		}
		delete(want, got)
	}
	c.nextDestroyed()
	for _, x := range instances {
		x.shutdown()
	}
	if len(done) > 0 {
		t.Errorf("closures ran again, on the instances %s", &j)
	}
	if keys := a.keys("watch:*"); len(keys) > 0 {
		t.Errorf("keys are left: %v", keys)
	}
}

// Guarantee 5: an instance misses the message about an end. Its closures run later.
func TestClosuresRunAfterAMissedMessage(t *testing.T) {
	t.Parallel()
	d, p := onServer(t, startServer(t)), redistest.Prefix()
	a := newApp(t, d, p, tuned(testonly.Tuning{Sweep: 50 * time.Millisecond}), lifecycle.WithNotifications(false))
	b := newApp(t, d, p, lifecycle.WithNotifications(false)).start()
	ran := make(chan lifecycle.Reason, 10)
	a.hold(func(_ context.Context, s *lifecycle.Session) error {
		ran <- s.Reason
		return nil
	})
	id, v := a.begin()
	a.ok(v, "/hold")
	// From now on no instance receives messages: the user may not use channels.
	if err := a.admin.Do(redistest.Within(t), "ACL", "SETUSER", "default", "resetchannels").Err(); err != nil {
		t.Fatal(err)
	}
	b.end(id, "")
	if r := redistest.Receive(t, ran); r != lifecycle.ReasonRevoked {
		t.Errorf("reason %q", r)
	}
	a.admin.Do(redistest.Within(t), "ACL", "SETUSER", "default", "allchannels")
}

// Guarantee 5: closures of live sessions run at the shutdown of their instance. They do not
// run again when the session ends.
func TestClosuresRunAtShutdown(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
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
	if s := redistest.Receive(t, ran); s.ID != id || s.Reason != lifecycle.ReasonShutdown || s.Get("user") != "alice" {
		t.Errorf("the closure ran with %s, %q, %v", s.ID, s.Reason, s.Values())
	}
	a.quiet() // the session lives on
	if got := b.ok(v, "/"); got != id {
		t.Errorf("session %q on the other instance, want %s", got, id)
	}
	if w := a.visit(v, "/hold"); w.Body.String() != lifecycle.ErrShutdown.Error() {
		t.Errorf("registration after the shutdown: %d %s", w.Code, w.Body)
	}
	b.end(id, "")
	b.nextDestroyed()
	if len(ran) > 0 {
		t.Error("the closure ran again at the end")
	}
}
