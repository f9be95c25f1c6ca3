package suite_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A hook gets the session: its ID, its values, its times, and its first request with the
// headers of WithRequestHeaders.
func TestSessionInHooks(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithRequestHeaders("accept-language"))
	v := new(visitor)
	a.visit(v, "http://shop.example/?next=cart", "User-Agent", "test", "Accept-Language", "en", "Authorization", "secret")
	created := a.nextCreated()
	want := lifecycle.Request{Method: "GET", URI: "/?next=cart", Host: "shop.example", ClientIP: "192.0.2.1", UserAgent: "test",
		Header: http.Header{"Accept-Language": {"en"}}}
	check := func(s *lifecycle.Session) {
		t.Helper()
		r := s.Request
		if r.Method != want.Method || r.URI != want.URI || r.Host != want.Host || r.ClientIP != want.ClientIP ||
			r.UserAgent != want.UserAgent || len(r.Header) != 1 || r.Header.Get("Accept-Language") != "en" {
			t.Errorf("request: %+v", r)
		}
	}
	check(created)
	if created.HTTPRequest() == nil || created.HTTPRequest().Header.Get("Authorization") != "secret" {
		t.Error("the created hook does not get the live request")
	}
	if created.Reason != "" || created.Attempt != 0 || !created.EndedAt.IsZero() {
		t.Errorf("the created hook gets an end: %+v", created)
	}
	a.ok(v, "/set?user=alice")
	a.ok(v, "/destroy")
	s := a.nextDestroyed()
	check(s)
	if s.HTTPRequest() != nil {
		t.Error("a destroyed hook gets a live request")
	}
	if s.ID != created.ID || s.Get("user") != "alice" || s.Get("nothing") != nil || len(s.Values()) != 1 || s.Err() != nil {
		t.Errorf("session: %s %v %v", s.ID, s.Values(), s.Err())
	}
	if !s.CreatedAt.Equal(created.CreatedAt) || s.LastSeenAt.Before(s.CreatedAt) || s.EndedAt.Before(s.LastSeenAt) {
		t.Errorf("times: created %v, seen %v, ended %v", s.CreatedAt, s.LastSeenAt, s.EndedAt)
	}
	if s.Attempt != 1 || s.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("end: %d %s", s.Attempt, s.Reason)
	}
}

// Created hooks run before the handler. Closures run before the destroyed hooks, the last
// one first.
func TestOrderOfHooks(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix())
	var j journal
	note := func(line string) lifecycle.Hook {
		return func(ctx context.Context, _ *lifecycle.Session) error {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("a hook's context has no deadline")
			}
			j.add(line)
			return nil
		}
	}
	a.m.OnSessionCreated(note("c1"))
	a.m.OnSessionCreated(note("c2"))
	a.m.OnSessionDestroyed(note("d1"))
	a.m.OnSessionDestroyed(note("d2"))
	a.reportEnds()
	a.get("/hold", func(c *lifecycle.Context) {
		j.add("handler")
		for _, h := range []string{"h1", "h2", "h3"} {
			if _, err := c.OnSessionDestroyed(note(h)); err != nil {
				t.Error(err)
			}
		}
	})
	v := new(visitor)
	a.visit(v, "/hold")
	a.ok(v, "/destroy")
	a.nextDestroyed()
	if want := "c1 c2 handler h3 h2 h1 d1 d2"; j.String() != want {
		t.Errorf("order: %s, want %s", &j, want)
	}
}

// After the first request or Start, a registration of a global hook panics. The message says
// where to move the call.
func TestRegistrationAfterServing(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix()).start()
	for name, register := range map[string]func(){
		"OnSessionCreated":   func() { a.m.OnSessionCreated(nothing) },
		"OnSessionDestroyed": func() { a.m.OnSessionDestroyed(nothing) },
	} {
		func() {
			defer func() {
				text, _ := recover().(string)
				if !strings.Contains(text, name) || !strings.Contains(text, "before lifecycle.Start and before the first request") || !strings.Contains(text, "c.OnSessionDestroyed in a handler") {
					t.Errorf("%s: panic %q", name, text)
				}
			}()
			register()
		}()
	}
}

// A registration of a nil hook or handler panics.
func TestNilHooksPanic(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	mustPanic(t, "nil", func() { a.m.OnSessionCreated(nil) })
	mustPanic(t, "nil", func() { a.m.OnSessionDestroyed(nil) })
	mustPanic(t, "nil", func() { lifecycle.Handler(nil) })
	a.get("/nil", func(c *lifecycle.Context) {
		mustPanic(t, "nil", func() { _, _ = c.OnSessionDestroyed(nil) })
	})
	a.visit(new(visitor), "/nil")
}

// With WithCreatedHooksRequired, a created hook that fails refuses the session: the request
// fails, the session ends, and the next created hook does not run.
func TestCreatedHooksRequired(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithCreatedHooksRequired())
	a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		if strings.Contains(s.Request.URI, "bad") {
			return errors.New("no seat left")
		}
		return nil
	})
	ran := false
	a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		ran = ran || strings.Contains(s.Request.URI, "bad")
		return nil
	})
	v := new(visitor)
	w := a.visit(v, "/?bad")
	if w.Code != http.StatusInternalServerError || v.cookie != "" || w.Body.Len() > 0 {
		t.Errorf("refused: %d, cookie %q, %s", w.Code, v.cookie, w.Body)
	}
	if ran {
		t.Error("the next created hook ran")
	}
	if s := a.nextDestroyed(); s.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("ended: %s", s.Reason)
	}
	a.begin() // other visitors get a session
}

// A refused session stays refused for its request, even if Redis goes away before the
// session can be ended.
func TestARefusedSessionStaysRefused(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	a := newApp(t, onServer(t, server), redistest.Prefix(), lifecycle.WithCreatedHooksRequired(), lifecycle.WithLazyCreation())
	a.m.OnSessionCreated(func(context.Context, *lifecycle.Session) error {
		server.Kill()
		return errors.New("no seat left")
	})
	a.get("/twice", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		s.Set("user", "bob")
		if err := s.Save(); !errors.Is(err, lifecycle.ErrRefused) {
			t.Errorf("the first Save: %v", err)
		}
		if c.Session() != nil {
			t.Error("the request has the refused session")
		}
		s.Set("user", "eve")
		if err := s.Save(); !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("the second Save: %v", err)
		}
	})
	v := new(visitor)
	if a.visit(v, "/twice"); v.cookie != "" {
		t.Errorf("the visitor has the cookie %s", v.cookie)
	}
}

// A retry runs only the hooks that have not succeeded yet.
func TestRetries(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix(), lifecycle.WithRetry(5, time.Millisecond, time.Millisecond))
	var j journal
	a.m.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { j.add("first"); return nil })
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		j.add("second")
		if s.Attempt < 3 {
			return errors.New("not yet")
		}
		a.destroyed <- s
		return nil
	})
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	a.end(id, "")
	if s := a.nextDestroyed(); s.Attempt != 3 || s.Get("user") != "alice" || s.Reason != lifecycle.ReasonRevoked {
		t.Errorf("attempt %d, %v, %s", s.Attempt, s.Values(), s.Reason)
	}
	if j.String() != "first second second second" {
		t.Errorf("calls: %s", &j)
	}
	redistest.Eventually(t, "the end is finished", func() bool { return len(a.keys("*")) == 0 })
	if s := a.m.Stats(); s.HooksRetried != 2 || s.HooksFailed != 2 || s.Buried != 0 {
		t.Errorf("figures: %+v", s)
	}
}

// A hook may call the library for its own session and for others.
func TestHooksUseTheAPI(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix(), lifecycle.WithConcurrency(1))
	other, _ := a.begin()
	a.get("/end", func(c *lifecycle.Context) {
		if _, err := c.OnSessionDestroyed(func(ctx context.Context, s *lifecycle.Session) error {
			if err := a.m.Destroy(ctx, s.ID, ""); !errors.Is(err, lifecycle.ErrSessionEnded) {
				t.Errorf("destroy its own session: %v", err)
			}
			for s, err := range a.m.All(ctx) {
				if err != nil || s.ID != other {
					t.Errorf("all: %v %v", s, err)
				}
			}
			a.begin()
			if err := a.m.Destroy(ctx, other, ""); err != nil {
				t.Errorf("destroy another session: %v", err)
			}
			a.destroyed <- s
			return nil
		}); err != nil {
			t.Error(err)
		}
		if err := c.DestroySession(); err != nil {
			t.Error(err)
		}
	})
	a.visit(new(visitor), "/end")
	a.nextDestroyed()
	redistest.Eventually(t, "Stats counts the other end", func() bool { return a.m.Stats().Ended[lifecycle.ReasonRevoked] == 1 })
}
