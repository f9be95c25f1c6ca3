package suite_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
)

// Guarantee 1: every session ends exactly once, whoever ends it and whoever finds the end.
func TestEndsExactlyOnceWhoeverFindsIt(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a := newApp(t, d, p, lifecycle.WithIdleTimeout(3*time.Second)).start()
	b := newApp(t, d, p, lifecycle.WithIdleTimeout(3*time.Second)).start()

	const n = 200
	var wg sync.WaitGroup
	for range n {
		id, v := a.begin()
		live := a.key("live:" + id + ":*")
		for _, end := range []func(){
			func() { _ = a.m.Destroy(redistest.Within(t), id, "") },
			func() { _ = b.m.Destroy(redistest.Within(t), id, "") },
			func() { a.visit(&visitor{v.cookie}, "/destroy") },
			func() { b.visit(&visitor{v.cookie}, "/destroy") },
			func() { a.admin.Del(redistest.Within(t), live) },
		} {
			wg.Go(end)
		}
	}
	wg.Wait()

	runs := make(map[string]int)
	for range n {
		var s *lifecycle.Session
		select {
		case s = <-a.destroyed:
		case s = <-b.destroyed:
		case <-time.After(redistest.Patience):
			t.Fatalf("hooks ran for %d of %d sessions", len(runs), n)
		}
		if runs[s.ID]++; s.Attempt != 1 {
			t.Errorf("attempt %d", s.Attempt)
		}
	}
	// A visit to /destroy with the cookie of an ended session began a session and ended it.
	redistest.Eventually(t, "all ends are finished", func() bool { return len(a.keys("end:*"))+len(a.keys("due")) == 0 })
	for {
		select {
		case s := <-a.destroyed:
			runs[s.ID]++
			continue
		case s := <-b.destroyed:
			runs[s.ID]++
			continue
		default:
		}
		break
	}
	for id, times := range runs {
		if times != 1 {
			t.Errorf("session %s: hooks ran %d times", id, times)
		}
	}
}

// Guarantee 3: no destroyed hook runs for a live session. Forged, repeated and old messages
// of every kind, to every instance, end nothing.
func TestForgedEventsEndNothing(t *testing.T) {
	needsNotifications(t)
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a, b := newApp(t, d, p).start(), newApp(t, d, p).start()
	redistest.Eventually(t, "one instance has subscribed to notifications", func() bool {
		return a.m.Stats().Notifications == lifecycle.NotificationsOn || b.m.Stats().Notifications == lifecycle.NotificationsOn
	})
	id, v := a.begin()
	live := a.key("live:" + id + ":*")
	for range 20 {
		for _, kind := range []string{"expired", "evicted", "del"} {
			if err := a.admin.Publish(redistest.Within(t), "__keyevent@0__:"+kind, live).Err(); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []*app{a, b} {
			a.admin.Publish(redistest.Within(t), c.prefix+":instance:"+instance(c.m), "ended "+id)
		}
	}
	// After a rotation the live key has another name: a message about the old one is old.
	a.ok(v, "/rotate")
	a.admin.Publish(redistest.Within(t), "__keyevent@0__:del", live)

	// A real end after these messages, found by a notification, shows that the instances have
	// received them.
	other, _ := a.begin()
	a.del(a.liveKey(other))
	var s *lifecycle.Session
	select {
	case s = <-a.destroyed:
	case s = <-b.destroyed:
	case <-time.After(redistest.Patience):
		t.Fatal("the instances have not found the real end")
	}
	if s.ID != other || s.Reason != lifecycle.ReasonDeleted {
		t.Errorf("ended: %s, %q; want %s, deleted", s.ID, s.Reason, other)
	}
	if got := a.ok(v, "/"); got != id {
		t.Errorf("session %q, want %q", got, id)
	}
	a.quiet()
	b.quiet()
}

// Guarantee 3: all times are those of the Redis server. A wrong clock of an instance does
// no harm.
func TestClockSkewOfAnInstance(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-5 * time.Minute, 5 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), redistest.Prefix(),
				lifecycle.WithIdleTimeout(400*time.Millisecond), lifecycle.WithAbsoluteTimeout(time.Hour),
				tuned(testonly.Tuning{Now: func() time.Time { return time.Now().Add(skew) }}))
			id, _ := a.begin()
			s := a.nextDestroyed()
			now, err := a.admin.Time(redistest.Within(t)).Result()
			if err != nil {
				t.Fatal(err)
			}
			if s.ID != id || s.Reason != lifecycle.ReasonIdleTimeout {
				t.Errorf("ended: %s, %s", s.ID, s.Reason)
			}
			if s.EndedAt.After(now) {
				t.Errorf("ended at %v, but the server's time is only %v", s.EndedAt, now)
			}
			if got := s.EndedAt.Sub(s.CreatedAt); got < 0 || got > time.Minute {
				t.Errorf("the session lived for %v", got)
			}
		})
	}
}

// Guarantee 4: created hooks run before destroyed hooks, even if the session ends at once.
func TestCreatedComesBeforeDestroyed(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix())
	var j journal
	a.m.OnSessionCreated(func(ctx context.Context, s *lifecycle.Session) error {
		if err := a.m.Destroy(ctx, s.ID, ""); err != nil {
			return err
		}
		// An instance has found the end while this hook still runs.
		redistest.Eventually(t, "an instance has found the end", func() bool { return len(a.keys("end:"+s.ID)) == 1 })
		j.add("created")
		return nil
	})
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		j.add("destroyed")
		a.destroyed <- s
		return nil
	})
	a.visit(new(visitor), "/")
	a.nextDestroyed()
	if j.String() != "created destroyed" {
		t.Errorf("order: %s", &j)
	}
}

// Guarantee 4: a rotation of the secret is not an end.
func TestRotationIsNoEnd(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	for range 5 {
		old := *v
		if got := a.ok(v, "/rotate"); got != id {
			t.Fatalf("session %s after the rotation, want %s", got, id)
		}
		if old.cookie == v.cookie {
			t.Fatal("the rotation has not changed the cookie")
		}
		if got := a.ok(&old, "/"); got == id {
			t.Error("the old cookie is still good")
		}
	}
	if got := a.ok(v, "/get?key=user"); got != "alice" {
		t.Errorf("user is %q", got)
	}
	a.end(id, "")
	if s := a.nextDestroyed(); s.ID != id || s.Get("user") != "alice" {
		t.Errorf("ended: %s %v", s.ID, s.Values())
	}
	a.quiet()
}

// Guarantee 6: a save never revives an ended session.
func TestSaveDoesNotRevive(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a := newApp(t, d, p)
	b := newApp(t, d, p).start()
	entered, resume := make(chan struct{}), make(chan struct{})
	a.get("/slow", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		s.Set("user", "mallory")
		close(entered)
		<-resume
		err := s.Save()
		if !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("save: %v", err)
		}
		if _, err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
			t.Error("a hook of an ended session ran")
			return nil
		}); !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("register: %v", err)
		}
		if err := c.RotateSession(); !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("rotate: %v", err)
		}
		if err := c.DestroySession(); !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("destroy: %v", err)
		}
		if c.Session() != nil {
			t.Error("the request still has a session")
		}
	})
	id, v := a.begin()
	var wg sync.WaitGroup
	wg.Go(func() { a.visit(&visitor{v.cookie}, "/slow") })
	<-entered
	b.ok(&visitor{v.cookie}, "/destroy")
	b.nextDestroyed()
	close(resume)
	wg.Wait()
	if _, err := a.m.Get(redistest.Within(t), id); !errors.Is(err, lifecycle.ErrSessionEnded) {
		t.Errorf("get: %v", err)
	}
	redistest.Eventually(t, "no key of the session is left", func() bool { return len(a.keys("*"+id+"*")) == 0 })
	a.quiet()
	b.quiet()
}

// anyError is an error that claims to be every other error.
type anyError struct{}

func (anyError) Error() string { return "bad hook" }
func (anyError) Is(error) bool { return true }

// badHook returns a hook that does what the URI of the session's first request says.
func badHook(hang <-chan struct{}) lifecycle.Hook {
	return func(_ context.Context, s *lifecycle.Session) error {
		switch {
		case strings.Contains(s.Request.URI, "error"):
			return errors.New("bad hook")
		case strings.Contains(s.Request.URI, "panic"):
			panic("bad hook")
		case strings.Contains(s.Request.URI, "nil"):
			return (*fs.PathError)(nil) // whose method Error panics
		case strings.Contains(s.Request.URI, "claims"):
			return anyError{}
		case strings.Contains(s.Request.URI, "hang"):
			<-hang // without regard to the context
		}
		return nil
	}
}

// Guarantee 7: a hook that fails, panics or hangs harms no other hook, session or request.
func TestBadHooksHarmNothing(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix(),
		lifecycle.WithConcurrency(4), lifecycle.WithHookTimeout(20*time.Millisecond),
		lifecycle.WithRetry(2, time.Millisecond, time.Millisecond))
	hang := make(chan struct{})
	bad := badHook(hang)
	var created, destroyed journal
	a.m.OnSessionCreated(bad)
	a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		created.add(s.Request.URI)
		return nil
	})
	a.m.OnSessionDestroyed(bad)
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		destroyed.add(s.Request.URI)
		return nil
	})
	uris := []string{"/?error", "/?panic", "/?nil", "/?claims", "/?hang", "/?fine"}
	for _, uri := range uris {
		id := a.ok(new(visitor), uri)
		a.end(id, "")
	}
	want := strings.Join(uris, " ")
	if created.String() != want {
		t.Errorf("the created hook after the bad one ran for %s", &created)
	}
	redistest.Eventually(t, "the destroyed hook after the bad one has run for all sessions, and five ends are dead", func() bool {
		for _, uri := range uris {
			if !strings.Contains(destroyed.String(), uri) {
				return false
			}
		}
		return a.m.Stats().Buried == 5
	})
	// A hook that has succeeded does not run again when others are retried.
	if n := len(strings.Fields(destroyed.String())); n != len(uris) {
		t.Errorf("the destroyed hook after the bad one ran for %s", &destroyed)
	}
	// One call of the created hook and two of the destroyed hook hang.
	if s := a.m.Stats(); s.HooksHung != 3 || s.HooksRetried != 5 {
		t.Errorf("%d hooks hang, want 3; %d were retried, want 5", s.HooksHung, s.HooksRetried)
	}
	close(hang)
	redistest.Eventually(t, "the hung hooks return", func() bool { return a.m.Stats().HooksHung == 0 })
}
