package suite_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// uses are what a handler, or what it leaves behind, can do to a session.
func uses(a *app, c *lifecycle.Context) map[string]func() error {
	s := c.Values()
	r, w := c.Request, c.Writer
	return map[string]func() error{
		"Save":               func() error { s.Set("user", "mallory"); return s.Save() },
		"logout":             func() error { s.Options(sessions.Options{MaxAge: -1}); return s.Save() },
		"RotateSession":      c.RotateSession,
		"DestroySession":     c.DestroySession,
		"RenewSession":       c.RenewSession,
		"Begin":              c.Begin,
		"OnSessionDestroyed": func() error { return register(c, nothing) },
		"SessionContext":     func() error { return context.Cause(c.SessionContext()) },
		"Store.Save": func() error {
			g, err := a.store.Get(r, "session")
			return errors.Join(err, g.Save(r, w))
		},
		"Store.New": func() error { _, err := a.store.New(r, "session"); return err },
		"another name": func() error {
			g, err := a.store.Get(r, "another")
			return errors.Join(err, g.Save(r, w))
		},
	}
}

// When the middleware has returned, nothing that the handler has left behind changes the
// session, Redis or a response any more: each call says so. What was read can still be read.
func TestUseAfterTheRequest(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]func(c *lifecycle.Context) *lifecycle.Context{
		"the context": func(c *lifecycle.Context) *lifecycle.Context { return c },
		"a copy":      func(c *lifecycle.Context) *lifecycle.Context { return lifecycle.From(c.Copy()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), redistest.Prefix())
			left := make(chan *lifecycle.Context, 1)
			var all map[string]func() error
			a.get("/leave", func(c *lifecycle.Context) {
				x := of(c)
				all = uses(a, x)
				left <- x
				a.answer(c, save(c, "user", "alice"))
			})
			id, v := a.begin()
			a.ok(v, "/leave")
			c := redistest.Receive(t, left)
			if s := c.Session(); s == nil || s.ID != id || s.Get("user") != "alice" || c.Values().Get("user") != "alice" {
				t.Errorf("the session that was left is %+v", s)
			}
			trips := a.tripsOf(id)
			for what, use := range all {
				if err := use(); !errors.Is(err, lifecycle.ErrRequestOver) {
					t.Errorf("%s: %v, want ErrRequestOver", what, err)
				}
			}
			if n := trips(); n != 0 {
				t.Errorf("Redis was asked %d times", n)
			}
			if got := a.ok(v, "/get?key=user"); got != "alice" {
				t.Errorf("the user is %s, want alice", got)
			}
		})
	}
}

// A goroutine that uses the session at the same time as the middleware returns, and as gin
// uses the context for other visitors, changes no other visitor's response. Run it with the
// race detector.
func TestGoroutinesBesideTheEndOfTheRequest(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	done := make(chan error, 1000)
	a.get("/leave/:what", func(c *lifecycle.Context) {
		use := uses(a, lifecycle.From(c.Copy()))[c.Param("what")]
		go func() { done <- use() }()
		c.String(http.StatusOK, idOf(c))
	})
	server := a.serve()
	left := 0
	for _, what := range []string{"Save", "RotateSession", "DestroySession", "RenewSession"} {
		for range 20 {
			mine, other := newBrowser(t, server), newBrowser(t, server)
			mine.ok("/")
			mine.ok("/leave/" + what)
			left++
			for range 3 {
				id := other.ok("/")
				if again := other.ok("/"); id != again {
					t.Fatalf("beside %s another visitor's session has changed from %s to %s", what, id, again)
				}
			}
		}
	}
	for range left {
		if err := redistest.Receive(t, done); err != nil && !errors.Is(err, lifecycle.ErrRequestOver) && !errors.Is(err, lifecycle.ErrHeadersWritten) {
			t.Errorf("a goroutine got %v", err)
		}
	}
}

// A middleware between this one and the handler has answered, and the handler runs on. While
// this middleware has not returned, its session can be used; the header that has been sent is
// not touched.
func TestHandlerRunsOnAfterTheAnswer(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	saved := make(chan error, 1)
	b := a.with(a.m.Middleware(), func(c *gin.Context) {
		c.Writer.WriteHeader(http.StatusRequestTimeout)
		c.Writer.WriteHeaderNow()
		c.Next()
	})
	b.get("/", func(c *lifecycle.Context) {
		saved <- errors.Join(save(c, "late", "yes"), func() error {
			if err := c.RotateSession(); !errors.Is(err, lifecycle.ErrHeadersWritten) {
				return fmt.Errorf("RotateSession: %w", err)
			}
			return nil
		}())
	})
	id, v := a.begin()
	if w := b.visit(v, "/"); w.Code != http.StatusRequestTimeout {
		t.Errorf("answered with %d", w.Code)
	}
	if err := redistest.Receive(t, saved); err != nil {
		t.Error(err)
	}
	if got := a.values(id)["late"]; got != "yes" {
		t.Errorf("the value is %v", got)
	}
}

// A handler that panics leaves no open session behind.
func TestPanicClosesTheSession(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	b := a.with(gin.CustomRecoveryWithWriter(nil, func(c *gin.Context, _ any) { c.AbortWithStatus(http.StatusInternalServerError) }), a.m.Middleware())
	var left *lifecycle.Context
	b.get("/", func(c *lifecycle.Context) {
		left = lifecycle.From(c.Copy())
		panic("as handlers do")
	})
	v := new(visitor)
	if w := b.visit(v, "/"); w.Code != http.StatusInternalServerError || v.cookie == "" {
		t.Errorf("answered with %d, cookie %q", w.Code, v.cookie)
	}
	if err := left.RotateSession(); !errors.Is(err, lifecycle.ErrRequestOver) {
		t.Errorf("RotateSession: %v", err)
	}
}

// A created hook may use the session's request, and through it the session.
func TestCreatedHookUsesTheRequest(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix())
	a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		r := s.HTTPRequest()
		g, err := a.store.Get(r, "session")
		if err != nil {
			return err
		}
		g.Values["seen"] = "yes"
		err = g.Save(r, httptest.NewRecorder())
		if err != nil {
			t.Error(err)
		}
		return err
	})
	_, v := a.begin()
	if got := a.ok(v, "/get?key=seen"); got != "yes" {
		t.Errorf("the value is %s", got)
	}
}

// A goroutine of the handler uses the session through a copy, while the handler goes on with
// gin's context. Run it with the race detector.
func TestGoroutineBesideTheHandler(t *testing.T) {
	t.Parallel()
	type key struct{}
	a := newApp(t, shared(t), redistest.Prefix())
	for name, use := range map[string]func(c *lifecycle.Context) error{
		"RotateSession": (*lifecycle.Context).RotateSession, "DestroySession": (*lifecycle.Context).DestroySession,
		"SetTimeouts": func(c *lifecycle.Context) error { return c.SetTimeouts(time.Hour, 0) },
	} {
		b := a.with(a.m.Middleware())
		done := make(chan error, 1)
		b.get("/", func(c *lifecycle.Context) {
			x := lifecycle.From(c.Copy())
			go func() { done <- use(x) }()
			c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), key{}, name))
			c.String(http.StatusOK, idOf(x))
		})
		for range 5 {
			_, v := a.begin()
			b.visit(v, "/", "X-Forwarded-Proto", "https")
			if err := redistest.Receive(t, done); err != nil && !errors.Is(err, lifecycle.ErrRequestOver) && !errors.Is(err, lifecycle.ErrHeadersWritten) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// A middleware between sessions.SessionsMany and this one has put another request into gin's
// context, as tracing does. All sessions are closed with the request, also the one that is not
// this middleware's: its cookie would go out with another visitor's response.
func TestRequestReplacedBeforeTheMiddleware(t *testing.T) {
	t.Parallel()
	type key struct{}
	a := newApp(t, shared(t), redistest.Prefix())
	b := a.with(sessions.SessionsMany([]string{"session", "other"}, a.store), func(c *gin.Context) {
		c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), key{}, 1))
	}, a.m.Middleware())
	var left *gin.Context
	b.get("/", func(c *lifecycle.Context) {
		left = c.Copy()
		sessions.DefaultMany(left, "other").Get("k")
		c.Status(http.StatusNoContent)
	})
	b.visit(new(visitor), "/")
	for _, name := range []string{"session", "other"} {
		s := sessions.DefaultMany(left, name)
		s.Set("k", "v")
		if err := s.Save(); !errors.Is(err, lifecycle.ErrRequestOver) {
			t.Errorf("session %s: Save after the request: %v", name, err)
		}
	}
}
