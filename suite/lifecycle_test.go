package suite_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// What a hook is told.
func TestSessionInHooks(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix(), lifecycle.WithRequestHeaders("accept-language"))
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
		t.Error("the live request is not reachable in the created hook")
	}
	if created.Reason != "" || created.Attempt != 0 || !created.EndedAt.IsZero() {
		t.Errorf("created with an end: %+v", created)
	}
	a.ok(v, "/set?user=alice")
	a.ok(v, "/destroy")
	s := a.nextDestroyed()
	check(s)
	if s.HTTPRequest() != nil {
		t.Error("a live request in a destroyed hook")
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

func TestOrderOfHooks(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), prefix())
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
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		a.destroyed <- s
		return nil
	})
	a.get("/hold", func(c *lifecycle.Context) {
		j.add("handler")
		for _, h := range []string{"h1", "h2", "h3"} {
			if err := c.OnSessionDestroyed(note(h)); err != nil {
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

func TestRegistrationAfterServing(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix()).start()
	for name, register := range map[string]func(){
		"OnSessionCreated":   func() { a.m.OnSessionCreated(func(context.Context, *lifecycle.Session) error { return nil }) },
		"OnSessionDestroyed": func() { a.m.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { return nil }) },
	} {
		func() {
			defer func() {
				text, _ := recover().(string)
				if !strings.Contains(text, name) || !strings.Contains(text, "before router.Run") || !strings.Contains(text, "c.OnSessionDestroyed in a handler") {
					t.Errorf("%s: panic %q", name, text)
				}
			}()
			register()
		}()
	}
}

func TestNilHooksPanic(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	mustPanic(t, "nil", func() { a.m.OnSessionCreated(nil) })
	mustPanic(t, "nil", func() { a.m.OnSessionDestroyed(nil) })
	a.get("/nil", func(c *lifecycle.Context) {
		mustPanic(t, "nil", func() { _ = c.OnSessionDestroyed(nil) })
	})
	a.visit(new(visitor), "/nil")
}

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if text, _ := recover().(string); !strings.Contains(text, want) {
			t.Errorf("panic %q, want one with %q", text, want)
		}
	}()
	f()
}

func TestCreatedHooksRequired(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix(), lifecycle.WithCreatedHooksRequired())
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
	a.begin() // others are let in
}

func TestLazyCreation(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix(), lifecycle.WithLazyCreation())
	a.get("/hold", func(c *lifecycle.Context) {
		err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { return nil })
		for _, err := range []error{err, c.RotateSession(), c.DestroySession()} {
			if !errors.Is(err, lifecycle.ErrNoSession) {
				t.Errorf("without a session: %v", err)
			}
		}
	})
	v := new(visitor)
	if got := a.ok(v, "/"); got != "" || v.cookie != "" || len(a.created) > 0 {
		t.Errorf("a session began without a Save: %q %q", got, v.cookie)
	}
	a.visit(v, "/hold")
	id := a.ok(v, "/set?user=alice")
	if s := a.nextCreated(); s.ID != id || s.Request.ClientIP != "192.0.2.1" || s.Get("user") != "alice" {
		t.Errorf("created: %s, %+v, %v", s.ID, s.Request, s.Values())
	}
	a.ok(v, "/set?user=bob")
	if len(a.created) > 0 {
		t.Error("created again")
	}
	if got := a.ok(v, "/get?key=user"); got != "bob" {
		t.Errorf("user %q", got)
	}
}

// The login and the logout of the README work for a visitor without a session, and
// a first Save that comes too late says so.
func TestLazyLoginAndLogout(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix(), lifecycle.WithLazyCreation())
	a.get("/login", func(c *lifecycle.Context) {
		if err := c.RotateSession(); err != nil && !errors.Is(err, lifecycle.ErrNoSession) {
			c.AbortWithStatus(http.StatusServiceUnavailable)
			return
		}
		s := sessions.Default(c.Context)
		s.Set("user", "ann")
		a.answer(c, s.Save())
	})
	a.get("/logout", func(c *lifecycle.Context) {
		err := c.DestroySession()
		if err != nil && !errors.Is(err, lifecycle.ErrSessionEnded) && !errors.Is(err, lifecycle.ErrNoSession) {
			c.AbortWithStatus(http.StatusServiceUnavailable)
			return
		}
		c.String(http.StatusOK, "bye")
	})
	a.get("/late", func(c *lifecycle.Context) {
		c.String(http.StatusOK, "hello")
		s := sessions.Default(c.Context)
		s.Set("user", "ann")
		if err := s.Save(); !errors.Is(err, lifecycle.ErrHeadersWritten) {
			t.Errorf("a first Save after the body: %v", err)
		}
	})
	v := new(visitor)
	a.ok(v, "/logout")
	a.ok(v, "/late")
	id := a.ok(v, "/login")
	if s := a.nextCreated(); s.ID != id || s.Get("user") != "ann" || v.cookie == "" {
		t.Errorf("created: %s, %v, cookie %q", s.ID, s.Values(), v.cookie)
	}
	a.ok(v, "/login")
	a.ok(v, "/logout")
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed || len(a.created) > 0 {
		t.Errorf("ended: %s, %s", s.ID, s.Reason)
	}
}

// A retry runs only the hooks that have not succeeded.
func TestRetries(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), prefix(), lifecycle.WithRetry(5, time.Millisecond, time.Millisecond))
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
	if err := a.m.Destroy(within(t), id, ""); err != nil {
		t.Fatal(err)
	}
	if s := a.nextDestroyed(); s.Attempt != 3 || s.Get("user") != "alice" || s.Reason != lifecycle.ReasonRevoked {
		t.Errorf("attempt %d, %v, %s", s.Attempt, s.Values(), s.Reason)
	}
	if j.String() != "first second second second" {
		t.Errorf("calls: %s", &j)
	}
	eventually(t, "acked", func() bool { return len(a.keys("*")) == 0 })
	if s := a.m.Stats(); s.HooksRetried != 2 || s.HooksFailed != 2 || s.Buried != 0 {
		t.Errorf("figures: %+v", s)
	}
}

// Hooks use the API, of their own session and of others.
func TestHooksUseTheAPI(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), prefix(), lifecycle.WithConcurrency(1))
	other, _ := a.begin()
	a.m = func() *lifecycle.Manager { return a.m }()
	a.get("/end", func(c *lifecycle.Context) {
		if err := c.OnSessionDestroyed(func(ctx context.Context, s *lifecycle.Session) error {
			if err := a.m.Destroy(ctx, s.ID, ""); !errors.Is(err, lifecycle.ErrSessionEnded) {
				t.Errorf("destroy itself: %v", err)
			}
			for s, err := range a.m.All(ctx) {
				if err != nil || s.ID != other {
					t.Errorf("all: %v %v", s, err)
				}
			}
			a.begin()
			if err := a.m.Destroy(ctx, other, ""); err != nil {
				t.Errorf("destroy another: %v", err)
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
	eventually(t, "both ends", func() bool { return a.m.Stats().Ended[lifecycle.ReasonRevoked] == 1 })
}

func TestMiddlewareWithoutASession(t *testing.T) {
	t.Parallel()
	serve := func(use ...gin.HandlerFunc) func() {
		return func() {
			r := gin.New()
			r.Use(use...)
			r.GET("/", func(*gin.Context) {})
			r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		}
	}
	a := newApp(t, shared(t), prefix())
	mustPanic(t, "SessionsMany", serve(sessions.SessionsMany([]string{"a", "b"}, a.store), a.m.Middleware()))
	mustPanic(t, "lifecycle.NewStore", serve(sessions.Sessions("s", foreignStore{}), a.m.Middleware()))
	mustPanic(t, "lifecycle.Middleware()", serve(lifecycle.Handler(func(*lifecycle.Context) {})))
	other := newApp(t, shared(t), prefix())
	var failure error
	m, err := lifecycle.New(a.store, lifecycle.WithErrorHandler(func(_ *gin.Context, err error) { failure = err }))
	if err != nil {
		t.Fatal(err)
	}
	serve(sessions.Sessions("s", other.store), m.Middleware())()
	if failure == nil || !strings.Contains(failure.Error(), "another store") {
		t.Errorf("with another manager's store: %v", failure)
	}
}

// Two managers of one process and one store are two instances.
func TestManagerInstallsTheSessionItself(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix(), lifecycle.WithSessionName("sid"))
	id, v := a.begin()
	if !strings.HasPrefix(v.cookie, "sid="+id+".") {
		t.Errorf("cookie: %s", v.cookie)
	}
}

// The log tells of what fails, and neither secrets nor values.
func TestLogTellsNoSecrets(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	a := newAppWithoutHooks(t, shared(t), prefix(), lifecycle.WithRetry(1, time.Second, time.Second),
		lifecycle.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	a.m.OnSessionCreated(func(context.Context, *lifecycle.Session) error { return errors.New("created is broken") })
	a.m.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { panic("destroyed is broken") })
	id, v := a.begin()
	a.ok(v, "/set?pin=4711471147114711")
	a.ok(v, "/rotate")
	_, secret, _ := strings.Cut(v.cookie, ".")
	a.ok(v, "/destroy")
	eventually(t, "the end is buried", func() bool { return a.m.Stats().Buried == 1 })
	text := log.String()
	for _, want := range []string{id, "created is broken", "destroyed is broken", "dead set"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	for _, bad := range []string{secret, secret[:20], "4711471147114711"} {
		if strings.Contains(text, bad) {
			t.Errorf("the log tells %q", bad)
		}
	}
}
