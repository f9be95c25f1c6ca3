package suite_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// again makes ways in which one request goes through the middleware once more, to another page:
// gin's HandleContext, which empties gin's context, and another engine behind a page.
func again(a *app) map[string]func(c *gin.Context, path string) {
	return map[string]func(c *gin.Context, path string){
		"HandleContext": func(c *gin.Context, path string) {
			c.Request.URL.Path = path
			a.router.HandleContext(c)
		},
		"ServeHTTP": func(c *gin.Context, path string) {
			c.Request.URL.Path = path
			a.router.ServeHTTP(c.Writer, c.Request)
		},
	}
}

// A request that goes through the middleware once more has one session all the time, its
// visitor gets the cookie, and the session is closed when the outermost middleware returns.
func TestThroughTheMiddlewareAgain(t *testing.T) {
	t.Parallel()
	for _, contrib := range []bool{false, true} {
		a := newApp(t, shared(t), redistest.Prefix()).start()
		b := a
		if contrib {
			b = a.with(sessions.Sessions("session", a.store), a.m.Middleware())
			b.pages()
		}
		var after error
		var kept *lifecycle.Context
		b.get("/hello", func(c *lifecycle.Context) {
			s := sessions.Default(c.Context)
			s.Set("hello", "yes")
			if err := s.Save(); err != nil || c.Values() != s {
				t.Errorf("save in the page within: %v; the same session %v", err, c.Values() == s)
			}
			c.String(http.StatusOK, "%s", idOf(c))
		})
		for how, goOn := range again(b) {
			path := "/by" + how
			b.get(path, func(c *lifecycle.Context) {
				kept = c
				goOn(c.Context, "/hello")
				after = register(c, nothing)
			})
			v := new(visitor)
			id := b.ok(v, path)
			if id == "" || a.nextCreated().ID != id || after != nil {
				t.Errorf("%s, contrib %v: session %q; after the page within: %v", how, contrib, id, after)
			}
			if got := b.ok(v, "/"); got != id {
				t.Errorf("%s, contrib %v: the next request has session %q, want %s", how, contrib, got, id)
			}
			if got := b.ok(v, path); got != id {
				t.Errorf("%s, contrib %v: again: session %q, want %s", how, contrib, got, id)
			}
			if got := b.ok(v, "/get?key=hello"); got != "yes" {
				t.Errorf("%s, contrib %v: the page within has saved %q", how, contrib, got)
			}
			if err := register(kept, nothing); !errors.Is(err, lifecycle.ErrRequestOver) {
				t.Errorf("%s, contrib %v: after the request: %v", how, contrib, err)
			}
		}
	}
}

// From a page that the middleware skips, HandleContext goes on to one with a session.
func TestThroughTheMiddlewareAgainFromASkippedPage(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSkipper(func(c *gin.Context) bool { return c.FullPath() == "/alias" }))
	for how, goOn := range again(a) {
		if how == "HandleContext" {
			a.get("/alias", func(c *lifecycle.Context) { goOn(c.Context, "/") })
		}
	}
	id, v := a.begin()
	if got := a.ok(v, "/alias"); got != id {
		t.Errorf("session %q, want %s", got, id)
	}
	if got := a.ok(v, "/"); got != id {
		t.Errorf("afterwards session %q, want %s", got, id)
	}
}

// The sessions of nested managers are the same after HandleContext.
func TestNestedThroughTheMiddlewareAgain(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSessionName("site"))
	inner := a.another(lifecycle.WithSessionName("admin"))
	b := a.with(a.m.Middleware(), func(c *gin.Context) {
		c.Next()
		if id := idOf(lifecycle.From(c)); id == "" || id != idOf(a.m.From(c)) || id != sessions.Default(c).ID() {
			t.Errorf("after the inner middleware the session is %q", id)
		}
	}, inner.Middleware())
	b.get("/hello", func(c *lifecycle.Context) {
		if idOf(c) != idOf(inner.From(c.Context)) || sessions.Default(c.Context) != c.Values() {
			t.Error("the session is not the inner one")
		}
		c.String(http.StatusOK, "%s %s", idOf(a.m.From(c.Context)), idOf(c))
	})
	b.get("/alias", func(c *lifecycle.Context) { again(b)["HandleContext"](c.Context, "/hello") })
	visitor := newBrowser(t, b.serve())
	first := visitor.ok("/alias")
	if got := visitor.ok("/hello"); got != first || len(first) < 3 {
		t.Errorf("the sessions are %q, then %q", first, got)
	}
	if len(a.created) != 1 {
		t.Errorf("%d created hooks, want one for the site", len(a.created))
	}
}

// A middleware that is there twice, and skips the request, leaves no circle of sessions.
func TestMiddlewareTwiceSkipped(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSessionName("site"), lifecycle.WithSkipper(func(*gin.Context) bool { return true }))
	inner := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSessionName("admin"))
	b := a.with(a.m.Middleware(), a.m.Middleware(), inner.m.Middleware())
	b.get("/", func(c *lifecycle.Context) {
		if idOf(a.m.From(c.Context)) != "" || idOf(c) != idOf(inner.m.From(c.Context)) {
			t.Error("the sessions are not those of their managers")
		}
		mustPanic(t, "no session of this manager", func() { a.another().From(c.Context) })
		c.String(http.StatusOK, "%s", idOf(c))
	})
	if b.ok(new(visitor), "/") == "" {
		t.Error("there is no inner session")
	}
}

// The engine within may not have another manager with a session of the same store and name.
func TestAnotherManagerInAnEngineWithin(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"session": http.StatusInternalServerError, "other": http.StatusOK} {
		a := newApp(t, shared(t), redistest.Prefix())
		within := a.with(a.another(lifecycle.WithSessionName(name)).Middleware())
		within.pages()
		a.get("/within", func(c *lifecycle.Context) { again(within)["ServeHTTP"](c.Context, "/") })
		if w := a.visit(new(visitor), "/within"); w.Code != want {
			t.Errorf("%s: %d, want %d", name, w.Code, want)
		}
	}
}
