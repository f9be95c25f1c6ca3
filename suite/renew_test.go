package suite_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Each of these ends the visitor's session and goes on with another one in the same request,
// with both kinds of hooks. Nothing of the old session is in the new one.
func TestLogOutAndGoOn(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(c *lifecycle.Context) error{
		"RenewSession":   (*lifecycle.Context).RenewSession,
		"DestroySession": (*lifecycle.Context).DestroySession,
		"MaxAge -1":      logout,
		"twice":          func(c *lifecycle.Context) error { return errors.Join(c.RenewSession(), c.RenewSession()) },
	} {
		for _, lazy := range []bool{false, true} {
			var opts []lifecycle.Option
			if lazy {
				opts = append(opts, lifecycle.WithLazyCreation())
			}
			a := newApp(t, shared(t), redistest.Prefix(), opts...).start()
			a.get("/logout", func(c *lifecycle.Context) {
				if err := f(c); err != nil {
					a.answer(c, err)
					return
				}
				s := c.Values()
				s.AddFlash("bye")
				if got := s.Get("user"); got != nil {
					t.Errorf("%s: after the logout, the user is %v", name, got)
				}
				a.answer(c, s.Save())
			})
			a.get("/flash", func(c *lifecycle.Context) {
				s := c.Values()
				flashes := s.Flashes()
				if err := s.Save(); err != nil {
					t.Error(err)
				}
				if len(flashes) == 1 {
					c.String(http.StatusOK, "%v", flashes[0])
				}
			})
			v := new(visitor)
			old := a.ok(v, "/set?user=alice")
			a.nextCreated()
			oldCookie := v.cookie
			id := a.ok(v, "/logout")
			if id == old || id == "" {
				t.Errorf("%s: the session is %q, and was %s", name, id, old)
			}
			s := a.nextDestroyed()
			if name == "twice" { // their hooks run in any order
				a.nextCreated()
				if between := a.nextDestroyed(); between.ID == old {
					s = between
				}
			}
			if s.ID != old || s.Reason != lifecycle.ReasonDestroyed || s.Get("user") != "alice" {
				t.Errorf("%s: destroyed hook for %s, %s, %v", name, s.ID, s.Reason, s.Values())
			}
			if s := a.nextCreated(); s.ID != id || s.Request.URI != "/logout" || s.Request.ClientIP != "192.0.2.1" {
				t.Errorf("%s: created hook for %s, %+v", name, s.ID, s.Request)
			}
			if got := a.ok(v, "/flash"); got != "bye" {
				t.Errorf("%s: the flash is %q", name, got)
			}
			if got := a.ok(v, "/"); got != id {
				t.Errorf("%s: the next request has session %s, want %s", name, got, id)
			}
			if got := a.ok(&visitor{oldCookie}, "/get?key=user"); got != "<nil>" {
				t.Errorf("%s: with the old cookie, the user is %s", name, got)
			}
			a.quiet()
		}
	}
}

// The new session has no values, whatever was set before it in the same request.
func TestRenewedSessionHasNoValues(t *testing.T) {
	t.Parallel()
	for _, destroyed := range []bool{false, true} {
		a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithLazyCreation()).start()
		a.get("/renew", func(c *lifecycle.Context) {
			if destroyed {
				if err := c.DestroySession(); err != nil {
					t.Error(err)
				}
			}
			c.Values().Set("user", "mallory")
			a.answer(c, c.RenewSession())
		})
		v := new(visitor)
		if destroyed {
			a.ok(v, "/set?user=alice")
		}
		id := a.ok(v, "/renew")
		if got := a.ok(v, "/get?key=user"); id == "" || got != "<nil>" {
			t.Errorf("destroyed %v: session %q has user %s", destroyed, id, got)
		}
	}
}

// One user is replaced by another in one request.
func TestAnotherUserLogsIn(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix()).start()
	a.get("/switch", func(c *lifecycle.Context) {
		if err := c.RenewSession(); err != nil {
			a.answer(c, err)
			return
		}
		a.answer(c, save(c, "user", "bob"))
	})
	v := new(visitor)
	alice := a.ok(v, "/set?user=alice")
	bob := a.ok(v, "/switch")
	if s := a.nextDestroyed(); s.ID != alice || s.Get("user") != "alice" {
		t.Errorf("ended: %s of %v", s.ID, s.Get("user"))
	}
	if got := a.values(bob)["user"]; got != "bob" {
		t.Errorf("the new session is of %v", got)
	}
}

// After a logout, a Save without a value begins nothing, and the cookie is removed.
func TestLogoutWithoutAFlash(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix()).start()
	a.get("/logout", func(c *lifecycle.Context) {
		err := c.DestroySession()
		s := c.Values()
		s.Clear()
		s.Delete("user")
		a.answer(c, errors.Join(err, s.Save()))
	})
	_, v := a.begin()
	a.nextCreated()
	if got := a.ok(v, "/logout"); got != "" || v.cookie != "" {
		t.Errorf("after the logout there is session %q, cookie %q", got, v.cookie)
	}
	if len(a.created) > 0 {
		t.Error("a session began")
	}
}

// A flash that follows a logout by MaxAge is kept, also if there was no session to end.
func TestLogoutWithoutASessionAndGoOn(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithLazyCreation()).start()
	a.get("/logout", func(c *lifecycle.Context) {
		if err := c.DestroySession(); err != nil && !errors.Is(err, lifecycle.ErrNoSession) {
			t.Error(err)
		}
		s := c.Values()
		s.Set("user", "mallory")
		if err := logout(c); err != nil {
			t.Error(err)
		}
		s.AddFlash("bye")
		a.answer(c, s.Save())
	})
	for _, who := range []string{"", "/set?user=alice"} {
		v := new(visitor)
		if who != "" {
			a.ok(v, who)
		}
		id := a.ok(v, "/logout")
		if id == "" || a.ok(v, "/") != id || fmt.Sprint(a.values(id)) != "map[_flash:[bye]]" {
			t.Errorf("%q: the session is %q", who, id)
		}
	}
}

// A session that has ended elsewhere is not revived by a Save. RenewSession begins another one.
func TestRenewAfterTheEnd(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix()).start()
	var id string
	for name, begin := range map[string]func(c *lifecycle.Context) error{
		"RenewSession": func(c *lifecycle.Context) error { return c.RenewSession() },
		"DestroySession": func(c *lifecycle.Context) error { // it says that there is nothing to destroy
			if err := c.DestroySession(); !errors.Is(err, lifecycle.ErrSessionEnded) {
				return err
			}
			return save(c, "k", "v")
		},
	} {
		b := a.with(a.m.Middleware())
		b.get("/", func(c *lifecycle.Context) {
			a.end(id, "")
			c.Values().Set("user", "mallory")
			if err := c.Values().Save(); !errors.Is(err, lifecycle.ErrSessionEnded) {
				t.Errorf("%s: Save: %v", name, err)
			}
			if err := c.Begin(); !errors.Is(err, lifecycle.ErrSessionEnded) {
				t.Errorf("%s: Begin: %v", name, err)
			}
			a.answer(c, begin(c))
		})
		var v *visitor
		id, v = a.begin()
		next := b.ok(v, "/")
		if s := a.nextDestroyed(); s.ID != id {
			t.Errorf("%s: ended: %s, want %s", name, s.ID, id)
		}
		if next == id || next == "" || a.values(next)["user"] != nil {
			t.Errorf("%s: the session is %q of %v, and was %s", name, next, a.values(next)["user"], id)
		}
	}
}

// RenewSession and Begin do nothing when the header has been sent, or no session may begin.
func TestRenewRefused(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithLazyCreation()).start()
	a.get("/late", func(c *lifecycle.Context) {
		c.String(http.StatusOK, "%s", idOf(c))
		for _, err := range []error{c.RenewSession(), c.Begin()} {
			if !errors.Is(err, lifecycle.ErrHeadersWritten) && (idOf(c) == "" || err != nil) {
				t.Errorf("after the header was sent: %v", err)
			}
		}
	})
	a.get("/renew", func(c *lifecycle.Context) { a.answer(c, c.RenewSession()) })
	a.get("/begin", func(c *lifecycle.Context) { a.answer(c, c.Begin()) })
	v := new(visitor)
	if a.ok(v, "/late"); v.cookie != "" {
		t.Errorf("a session began: %s", v.cookie)
	}
	id := a.ok(v, "/begin")
	if s := a.nextCreated(); s.ID != id || id == "" {
		t.Errorf("Begin has begun session %q, and the created hook ran for %s", id, s.ID)
	}
	if got := a.ok(v, "/begin"); got != id || len(a.created) > 0 {
		t.Errorf("Begin has begun session %q although there was %s", got, id)
	}
	if got := a.ok(v, "/late"); got != id {
		t.Errorf("the session is %s, want %s", got, id)
	}
	foreign := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}
	for _, who := range []*visitor{v, new(visitor)} {
		if w := a.visit(who, "/renew", foreign...); w.Code != http.StatusConflict {
			t.Errorf("renewed at the request of another site: %d", w.Code)
		}
	}
	if got := a.ok(v, "/"); got != id {
		t.Errorf("the session is %s, want %s", got, id)
	}
	a.quiet()
}

// A session whose cookie other sites may use would be replaced by one of the store, whose cookie
// they may not use. At the request of another site that is refused, and the session stays.
func TestRenewOfASessionForOtherSites(t *testing.T) {
	t.Parallel()
	foreign := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}
	a := newApp(t, shared(t), redistest.Prefix()).start()
	a.get("/none", func(c *lifecycle.Context) {
		a.answer(c, saveWith(c, sessions.Options{SameSite: http.SameSiteNoneMode}))
	})
	a.get("/renew", func(c *lifecycle.Context) {
		err := c.RenewSession()
		if !errors.Is(err, lifecycle.ErrSessionWithheld) {
			t.Errorf("RenewSession: %v", err)
		}
		a.answer(c, err)
	})
	id, v := a.begin()
	a.ok(v, "/none")
	a.visit(v, "/renew", foreign...)
	if got := a.ok(v, "/"); got != id {
		t.Errorf("the session is %q, want %s", got, id)
	}
	a.quiet()
}

// Created hooks set values, which the other created hooks, the handler and all later requests
// see.
func TestCreatedHooksSetValues(t *testing.T) {
	t.Parallel()
	for _, lazy := range []bool{false, true} {
		var opts []lifecycle.Option
		if lazy {
			opts = append(opts, lifecycle.WithLazyCreation())
		}
		a := newAppWithoutHooks(t, shared(t), redistest.Prefix(), opts...)
		left := make(chan *lifecycle.Session, 10)
		a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
			s.Set("plan", "free")
			s.Set("user", "nobody")
			mustPanic(t, "key", func() { s.Set([]string{"no key"}, 1) })
			return errors.New("a hook that fails has set its values all the same")
		})
		a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
			if s.Get("plan") != "free" {
				t.Errorf("the next hook sees %v", s.Values())
			}
			left <- s
			return nil
		})
		a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
			mustPanic(t, "created hook", func() { s.Set("plan", "paid") })
			a.destroyed <- s
			return nil
		})
		a.start()
		v := new(visitor)
		id := a.ok(v, "/set?theme=dark") // an eager session begins before that
		for range 2 {
			if got := a.ok(v, "/get?key=plan"); got != "free" {
				t.Errorf("lazy %v: a later request sees the plan %s", lazy, got)
			}
		}
		if got := a.ok(v, "/get?key=theme"); got != "dark" {
			t.Errorf("lazy %v: the theme is %s", lazy, got)
		}
		s := redistest.Receive(t, left)
		mustPanic(t, "created hook", func() { s.Set("plan", "paid") })
		a.end(id, "")
		if s := a.nextDestroyed(); s.Get("plan") != "free" || s.Get("user") != "nobody" {
			t.Errorf("lazy %v: the destroyed hook sees %v", lazy, s.Values())
		}
	}
}
