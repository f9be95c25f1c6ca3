package suite_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A handler may hand its request to another route with gin's HandleContext, which runs the
// middlewares again and empties gin's context before. The other route has the same session, its
// response sets the cookie, and what it saves is saved.
func TestHandleContext(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(a *app) []gin.HandlerFunc{
		"by the manager": func(*app) []gin.HandlerFunc { return nil },
		"by gin-contrib": func(a *app) []gin.HandlerFunc {
			return []gin.HandlerFunc{sessions.Sessions("session", a.store)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), redistest.Prefix())
			a.router = gin.New()
			a.router.Use(gin.Recovery())
			a.router.Use(before(a)...)
			a.router.Use(a.m.Middleware())
			a.pages()
			first := ""
			a.get("/old", func(c *lifecycle.Context) {
				first = idOf(c)
				c.Request.URL.Path = "/set"
				a.router.HandleContext(c.Context)
				if err := save(c, "after", "1"); err != nil {
					t.Errorf("a save after HandleContext: %v", err)
				}
			})
			a.get("/status", func(c *lifecycle.Context) {
				c.Request.URL.Path = "/empty"
				a.router.HandleContext(c.Context)
			})
			a.get("/empty", func(c *lifecycle.Context) { c.Status(http.StatusNoContent) })
			v := new(visitor)
			w := a.visit(v, "/old?k=v")
			if w.Code != http.StatusOK || w.Body.String() != first || first == "" {
				t.Fatalf("the first visit: %d %q, its session is %q", w.Code, w.Body, first)
			}
			if n := len(w.Header().Values("Set-Cookie")); n != 1 {
				t.Errorf("%d cookies are set", n)
			}
			if got := a.visit(v, "/get?key=k").Body.String(); got != "v" {
				t.Errorf("the next request reads %q", got)
			}
			if w := a.visit(v, "/old?k=w"); w.Code != http.StatusOK || w.Body.String() != first {
				t.Errorf("a later visit: %d %q", w.Code, w.Body)
			}
			if got := a.visit(v, "/get?key=k").Body.String(); got != "w" {
				t.Errorf("the last request reads %q", got)
			}
			if w := a.visit(new(visitor), "/status"); w.Code != http.StatusNoContent || len(w.Header().Values("Set-Cookie")) != 1 {
				t.Errorf("a response without a body: %d %v", w.Code, w.Header())
			}
		})
	}
}

// The same holds for an engine within an engine that both have the middleware.
func TestEngineInEngine(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	inner := a.router
	a.router = gin.New()
	a.router.Use(a.m.Middleware(), func(c *gin.Context) {
		c.Next()
		if err := save(lifecycle.From(c), "after", "1"); err != nil {
			t.Errorf("a save after the inner engine: %v", err)
		}
	})
	a.router.NoRoute(func(c *gin.Context) {
		c.Status(http.StatusOK)
		gin.WrapH(inner)(c)
	})
	v := new(visitor)
	w := a.visit(v, "/set?k=v")
	if w.Code != http.StatusOK || w.Body.Len() == 0 || len(w.Header().Values("Set-Cookie")) != 1 {
		t.Fatalf("the first visit: %d %q %v", w.Code, w.Body, w.Header())
	}
	for key, want := range map[string]string{"k": "v", "after": "1"} {
		if got := a.visit(v, "/get?key="+key).Body.String(); got != want {
			t.Errorf("%s is %q", key, got)
		}
	}
}

// After an engine within, what gin-contrib gives and what Values gives are one session again: what
// is set by the one is saved by the other.
func TestValuesAfterAnEngineWithin(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	inner := a.with(sessions.Sessions("session", a.store), a.m.Middleware())
	inner.get("/set", func(c *lifecycle.Context) {
		sessions.Default(c.Context).Set("within", "1")
		a.answer(c, c.Values().Save())
	})
	outer := a.with(sessions.Sessions("session", a.store), a.m.Middleware())
	outer.get("/set", func(c *lifecycle.Context) {
		inner.router.ServeHTTP(httptest.NewRecorder(), c.Request)
		sessions.Default(c.Context).Set("after", "1")
		a.answer(c, c.Values().Save())
	})
	v := new(visitor)
	id := outer.ok(v, "/set")
	if got := a.values(id); got["within"] != "1" || got["after"] != "1" {
		t.Errorf("the session has %v", got)
	}
}
