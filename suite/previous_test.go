package suite_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// why adds the page /why, which answers with what Previous returns.
func (a *app) why() *app {
	a.get("/why", func(c *lifecycle.Context) {
		p, ok := c.Previous()
		if !ok && p != (lifecycle.Previous{}) {
			a.t.Errorf("Previous = %+v, false", p)
		}
		c.String(http.StatusOK, told(p, ok))
	})
	return a
}

// told is the answer of the page /why.
func told(p lifecycle.Previous, ok bool) string {
	if !ok {
		return "nothing"
	}
	return p.ID + " " + string(p.Reason) + " " + p.EndedAt.UTC().Format(time.RFC3339Nano)
}

// ask asks with a cookie, which stays as it is, why its session has ended.
func (a *app) ask(cookie string) string {
	a.t.Helper()
	return a.ok(&visitor{cookie}, "/why")
}

// finished waits until all ends are finished.
func (a *app) finished() {
	a.t.Helper()
	redistest.Eventually(a.t, "all ends are finished", func() bool { return len(a.keys("end:*")) == 0 })
}

// leftOf returns the keys that are left of a session.
func (a *app) leftOf(id string) (keys []string) {
	a.t.Helper()
	a.on.eachMaster(a.t, func(ctx context.Context, rdb redis.UniversalClient) error {
		some, err := rdb.Keys(ctx, a.prefix+":{*}:*"+id+"*").Result()
		keys = append(keys, some...)
		return err
	})
	return keys
}

// A visitor whose session has ended is told ID, reason and time, as the hooks got them, on
// every instance.
func TestPrevious(t *testing.T) {
	t.Parallel()
	for reason, x := range map[lifecycle.Reason]struct {
		opts []lifecycle.Option
		end  func(a *app, id string)
	}{
		lifecycle.ReasonIdleTimeout:     {[]lifecycle.Option{lifecycle.WithIdleTimeout(400 * time.Millisecond)}, nil},
		lifecycle.ReasonAbsoluteTimeout: {[]lifecycle.Option{lifecycle.WithAbsoluteTimeout(400 * time.Millisecond)}, nil},
		lifecycle.ReasonRevoked:         {nil, func(a *app, id string) { a.end(id, "") }},
		"logged in elsewhere":           {nil, func(a *app, id string) { a.end(id, "logged in elsewhere") }},
		lifecycle.ReasonDeleted: {nil, func(a *app, id string) {
			needsNotifications(a.t)
			a.listens()
			a.del(a.liveKey(id))
		}},
	} {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			d, p := shared(t), redistest.Prefix()
			a := newApp(t, d, p, x.opts...).start().why()
			b := newApp(t, d, p, x.opts...).why()
			id, v := a.begin()
			a.ok(v, "/set?user=alice")
			if got := a.ask(v.cookie); got != "nothing" {
				t.Errorf("a live session: %q", got)
			}
			if got := a.ask(""); got != "nothing" {
				t.Errorf("a new visitor: %q", got)
			}
			if x.end != nil {
				x.end(a, id)
			}
			var s *lifecycle.Session
			for s == nil || s.ID != id { // those that /why began end too
				s = redistest.Receive(t, either(a, b))
			}
			want := told(lifecycle.Previous{ID: id, Reason: reason, EndedAt: s.EndedAt}, true)
			if s.Reason != reason {
				t.Errorf("hook: %s", s.Reason)
			}
			for _, instance := range []*app{a, b} {
				if got := instance.ask(v.cookie); got != want {
					t.Errorf("told %q, want %q", got, want)
				}
			}
			redistest.Eventually(t, "the end is finished", func() bool { return len(a.keys("end:"+id)) == 0 })
			for _, instance := range []*app{a, b} {
				if got := instance.ask(v.cookie); got != want {
					t.Errorf("after the end was finished: told %q, want %q", got, want)
				}
			}
			// What is kept has neither values nor the first request.
			keys := a.leftOf(id)
			if len(keys) != 1 || !strings.HasSuffix(keys[0], ":session:"+id) {
				t.Fatalf("left: %v", keys)
			}
			if past := a.admin.Get(redistest.Within(t), keys[0]).Val(); len(past) != 29+len(reasonText(reason)) || strings.Contains(past, "alice") {
				t.Errorf("%d bytes are kept: %q", len(past), past)
			}
			if left := a.admin.PTTL(redistest.Within(t), keys[0]).Val(); left <= 0 || left > lifecycle.DefaultPreviousFor {
				t.Errorf("the time to live is %v", left)
			}
			if _, err := a.m.Get(redistest.Within(t), id); !errors.Is(err, lifecycle.ErrSessionEnded) {
				t.Errorf("Get: %v", err)
			}
			if err := a.m.Touch(redistest.Within(t), id); !errors.Is(err, lifecycle.ErrSessionEnded) {
				t.Errorf("Touch: %v", err)
			}
			if err := a.m.Destroy(redistest.Within(t), id, "again"); !errors.Is(err, lifecycle.ErrSessionEnded) {
				t.Errorf("Destroy: %v", err)
			}
		})
	}
}

// reasonText returns the text that Redis keeps for a reason.
func reasonText(r lifecycle.Reason) string {
	if r == lifecycle.ReasonIdleTimeout || r == lifecycle.ReasonAbsoluteTimeout {
		return "expired"
	}
	return string(r)
}

// either returns a channel that gets the next session that ends on one of two instances.
func either(a, b *app) chan *lifecycle.Session {
	next := make(chan *lifecycle.Session, 1)
	go func() {
		select {
		case s := <-a.destroyed:
			next <- s
		case s := <-b.destroyed:
			next <- s
		case <-a.t.Context().Done():
		}
	}()
	return next
}

// Who knows an ID and not the secret learns nothing. A secret from before a rotation tells
// nothing either.
func TestPreviousNeedsTheLastSecret(t *testing.T) {
	t.Parallel()
	resume := make(chan struct{})
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix(), lifecycle.WithRotationGrace(0)).why()
	a.m.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { <-resume; return nil })
	id, v := a.begin()
	before := v.cookie
	a.ok(v, "/rotate")
	_, other := a.begin()
	name, _, _ := strings.Cut(v.cookie, "=")
	_, secret, _ := strings.Cut(other.cookie, ".")
	a.end(id, "banned")
	check := func(when string) {
		t.Helper()
		for what, cookie := range map[string]string{
			"another secret": name + "=" + id + "." + secret, "the secret before the rotation": before, "no secret": name + "=" + id,
			"a changed secret": v.cookie[:len(v.cookie)-20] + "AAAAAAAAAAAA" + v.cookie[len(v.cookie)-8:],
		} {
			if got := a.ask(cookie); got != "nothing" {
				t.Errorf("%s: %s: told %q", when, what, got)
			}
		}
		if got := a.ask(v.cookie); !strings.HasPrefix(got, id+" banned ") {
			t.Errorf("%s: told %q", when, got)
		}
	}
	redistest.Eventually(t, "the session has ended", func() bool { return len(a.keys("end:"+id)) == 1 })
	check("while a hook runs")
	close(resume)
	a.finished()
	check("after the hooks")
}

// Before an instance has noticed the end, the visitor is told of the timeout.
func TestPreviousBeforeAnybodyHasLooked(t *testing.T) {
	t.Parallel()
	for reason, opt := range map[lifecycle.Reason]lifecycle.Option{
		lifecycle.ReasonIdleTimeout:     lifecycle.WithIdleTimeout(300 * time.Millisecond),
		lifecycle.ReasonAbsoluteTimeout: lifecycle.WithAbsoluteTimeout(300 * time.Millisecond),
	} {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), redistest.Prefix(), opt).why()
			id, v := a.begin()
			a.shutdown() // nobody looks any more
			redistest.Eventually(t, "the session has timed out", func() bool { return len(a.keys("live:"+id+":*")) == 0 })
			if got := a.ask(v.cookie); !strings.HasPrefix(got, id+" "+string(reason)+" ") {
				t.Errorf("told %q", got)
			}
		})
	}
}

// A session whose cookie never came back is not remembered after its timeout: robots would fill
// the memory. If it was destroyed it is.
func TestNoPreviousOfRobots(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithUnconfirmedTimeout(100*time.Millisecond)).start().why()
	id, v := a.begin()
	a.nextDestroyed()
	redistest.Eventually(t, "nothing is left", func() bool { return len(a.leftOf(id)) == 0 })
	if got := a.ask(v.cookie); got != "nothing" {
		t.Errorf("told %q", got)
	}
	b := newApp(t, a.on, redistest.Prefix()).why()
	id, v = b.begin()
	b.end(id, "banned")
	b.nextDestroyed()
	b.finished()
	if got := b.ask(v.cookie); !strings.HasPrefix(got, id+" banned ") {
		t.Errorf("told %q", got)
	}
}

// After a logout the same request is told, and a later one brings no cookie.
func TestPreviousAfterALogout(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix()).why()
	a.get("/out", func(c *lifecycle.Context) {
		if err := c.DestroySession(); err != nil {
			t.Error(err)
		}
		c.String(http.StatusOK, told(c.Previous()))
	})
	id, v := a.begin()
	if got := a.ok(v, "/out"); !strings.HasPrefix(got, id+" destroyed ") {
		t.Errorf("told %q", got)
	}
	if got := a.ok(v, "/why"); got != "nothing" {
		t.Errorf("the next request is told %q", got)
	}
}

// After RenewSession the request is told of the session that it has ended, and its new session
// goes on.
func TestPreviousAfterARenewal(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix()).why()
	a.get("/renew", func(c *lifecycle.Context) {
		if err := c.RenewSession(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if p, ok := c.Previous(); !ok || p.ID == c.Session().ID || p.Reason != lifecycle.ReasonDestroyed {
				t.Errorf("Previous = %+v, %v", p, ok)
			}
		}
		c.String(http.StatusOK, told(c.Previous()))
	})
	id, v := a.begin()
	if got := a.ok(v, "/renew"); !strings.HasPrefix(got, id+" destroyed ") {
		t.Errorf("told %q", got)
	}
	if got := a.ok(v, "/why"); got != "nothing" {
		t.Errorf("the next request is told %q", got)
	}
}

// A session that cannot be decoded was ended by the middleware, and the visitor is told. So is a
// visitor whose session somebody else has ended during the request.
func TestPreviousOfAnEndInTheRequest(t *testing.T) {
	t.Parallel()
	codec := &fragile{Codec: lifecycle.Gob}
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithCodec(codec), lifecycle.WithEndUndecodable()).why()
	id, v := a.begin()
	codec.write(a, v, []byte("panic"))
	if got := a.ask(v.cookie); !strings.HasPrefix(got, id+" "+string(lifecycle.ReasonUndecodable)+" ") {
		t.Errorf("told %q", got)
	}
	a.get("/slow", func(c *lifecycle.Context) {
		if p, ok := c.Previous(); ok {
			t.Errorf("Previous of a live session = %+v", p)
		}
		a.end(c.Session().ID, "banned")
		if err := c.RotateSession(); !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("rotate: %v", err)
		}
		c.String(http.StatusOK, told(c.Previous()))
	})
	id, v = a.begin()
	if got := a.ok(v, "/slow"); !strings.HasPrefix(got, id+" banned ") {
		t.Errorf("told %q", got)
	}
}

// After the request nothing is told.
func TestPreviousAfterTheRequest(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	var kept *lifecycle.Context
	a.get("/keep", func(c *lifecycle.Context) {
		kept = c
		if _, ok := c.Previous(); !ok {
			t.Error("the visitor is not told")
		}
	})
	id, v := a.begin()
	a.end(id, "banned")
	a.visit(v, "/keep")
	if p, ok := kept.Previous(); ok || p != (lifecycle.Previous{}) {
		t.Errorf("after the request: %+v, %v", p, ok)
	}
}

// With lazy creation the visitor keeps his cookie, and every request is told, until a session
// begins.
func TestPreviousWithLazyCreation(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithLazyCreation()).why()
	v := new(visitor)
	id := a.ok(v, "/set?user=alice")
	a.end(id, "banned")
	a.nextDestroyed()
	a.finished()
	for range 2 {
		if got := a.ok(v, "/why"); !strings.HasPrefix(got, id+" banned ") {
			t.Errorf("told %q", got)
		}
	}
	a.ok(v, "/set?user=alice")
	if got := a.ok(v, "/why"); got != "nothing" {
		t.Errorf("with a new session: told %q", got)
	}
}

// An end is remembered for the time of the option, and not at all with 0.
func TestPreviousFor(t *testing.T) {
	t.Parallel()
	d := shared(t)
	short := newApp(t, d, redistest.Prefix(), lifecycle.WithPreviousFor(time.Millisecond)).why()
	long := newApp(t, d, redistest.Prefix(), lifecycle.WithPreviousFor(24*time.Hour)).why()
	off := newApp(t, d, redistest.Prefix(), lifecycle.WithPreviousFor(0)).why()
	for _, a := range []*app{short, long, off} {
		id, v := a.begin()
		a.end(id, "")
		if got := a.ask(v.cookie); a == off && got != "nothing" {
			t.Errorf("before the end is finished, switched off: told %q", got)
		}
		a.nextDestroyed()
		a.finished()
		switch a {
		case long:
			left := a.admin.PTTL(redistest.Within(t), a.leftOf(id)[0]).Val()
			if left <= 23*time.Hour || left > 24*time.Hour {
				t.Errorf("the time to live is %v, want 24 hours", left)
			}
		case off:
			if keys := a.leftOf(id); len(keys) > 0 {
				t.Errorf("switched off: left %v", keys)
			}
		}
		if a != long {
			redistest.Eventually(t, "nothing is left", func() bool { return len(a.leftOf(id)) == 0 })
			if got := a.ask(v.cookie); got != "nothing" {
				t.Errorf("told %q", got)
			}
		}
	}
}
