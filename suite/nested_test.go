package suite_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// nested makes an application whose site and whose administrators have a session each: the
// middleware of site is on all routes, that of admin also on those under /admin. Every page
// answers with the IDs of both sessions.
func nested(site, admin *app) *app {
	b := site.with(site.m.Middleware())
	page := func(c *gin.Context) {
		ids := idOf(site.m.From(c))
		if c.FullPath() == "/admin/" {
			// Without the name of a manager, the session of the inner middleware is meant.
			if lifecycle.From(c).Session().ID != idOf(admin.m.From(c)) || sessions.Default(c).ID() != idOf(admin.m.From(c)) {
				site.t.Error("in an administrator's page, the session is not the administrator's")
			}
			admin.m.From(c).Values().Set("who", "admin")
			if err := admin.m.From(c).Values().Save(); err != nil {
				site.t.Error(err)
			}
			ids += " " + idOf(admin.m.From(c))
		}
		site.m.From(c).Values().Set("who", "site")
		if err := site.m.From(c).Values().Save(); err != nil {
			site.t.Error(err)
		}
		c.String(http.StatusOK, ids)
	}
	b.router.Use(func(c *gin.Context) {
		c.Next()
		// After the inner middleware, the outer session is meant again.
		if lifecycle.From(c).Session().ID != idOf(site.m.From(c)) || sessions.Default(c).ID() != idOf(site.m.From(c)) {
			site.t.Error("after the administrator's page, the session is not the site's")
		}
		if err := site.m.From(c).Values().Save(); err != nil {
			site.t.Error(err)
		}
	})
	b.router.GET("/", page)
	b.router.Group("/admin", admin.m.Middleware()).GET("/", site.m.Handler(func(c *lifecycle.Context) {
		if c.Session().ID != idOf(site.m.From(c.Context)) {
			site.t.Error("Manager.Handler gives another session")
		}
		page(c.Context)
	}))
	return b
}

// Two managers have a middleware on one route, each with a session, a cookie and hooks of its
// own: with two stores, and with one store and two names.
func TestNestedManagers(t *testing.T) {
	t.Parallel()
	for _, oneStore := range []bool{false, true} {
		site := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSessionName("site")).start()
		admin := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSessionName("admin")).start()
		if oneStore {
			m, err := lifecycle.New(site.store, lifecycle.WithSessionName("admin"))
			if err != nil {
				t.Fatal(err)
			}
			admin = &app{t: t, store: site.store, m: m}
			t.Cleanup(admin.shutdown)
		}
		b := nested(site, admin)
		visitor := newBrowser(t, b.serve())
		first := visitor.ok("/")
		both := visitor.ok("/admin/")
		if again := visitor.ok("/admin/"); again != both || len(both) != 2*len(first)+1 || both[:len(first)] != first {
			t.Errorf("one store %v: the sessions are %q, then %q, then %q", oneStore, first, both, again)
		}
		if got := visitor.ok("/"); got != first {
			t.Errorf("one store %v: the site's session is %s, want %s", oneStore, got, first)
		}
		if got := len(visitor.jar.Cookies(resolve(t, "/admin/"))); got != 2 {
			t.Errorf("one store %v: the browser has %d cookies, want 2", oneStore, got)
		}
		for who, id := range map[string]string{"site": first, "admin": both[len(first)+1:]} {
			m := map[string]*lifecycle.Manager{"site": site.m, "admin": admin.m}[who]
			s, err := m.Get(redistest.Within(t), id)
			if err != nil || s.Get("who") != who {
				t.Errorf("one store %v: the session of %s has %v (%v)", oneStore, who, s, err)
			}
		}
		if oneStore {
			continue
		}
		admin.end(both[len(first)+1:], "")
		if s := admin.nextDestroyed(); s.ID != both[len(first)+1:] {
			t.Errorf("the administrator's hook is called for %s", s.ID)
		}
		site.quiet()
	}
}

// With sessions.SessionsMany, the middleware takes the session that it is told; the others
// are as without it.
func TestSessionsMany(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSessionName("second")).start()
	b := a.with(sessions.SessionsMany([]string{"first", "second"}, a.store), a.m.Middleware())
	b.get("/", func(c *lifecycle.Context) {
		first, second := sessions.DefaultMany(c.Context, "first"), sessions.DefaultMany(c.Context, "second")
		if c.Values() != second || second.ID() != idOf(c) {
			t.Errorf("the session is %s, want the second one, %s", idOf(c), second.ID())
		}
		first.Set("k", "first")
		second.Set("k", "second")
		if err := first.Save(); err != nil {
			t.Error(err)
		}
		if err := second.Save(); err != nil {
			t.Error(err)
		}
		c.String(http.StatusOK, "%s %s", first.ID(), second.ID())
	})
	visitor := newBrowser(t, b.serve())
	ids := visitor.ok("/")
	if again := visitor.ok("/"); again != ids {
		t.Errorf("the sessions are %q, then %q", ids, again)
	}
	if s := a.nextCreated(); ids[len(ids)-len(s.ID):] != s.ID || len(a.created) > 0 {
		t.Errorf("created hook for %s, want once, for the second of %s", s.ID, ids)
	}
}

// A middleware that is there twice does its work once.
func TestMiddlewareTwice(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	b := a.with(a.m.Middleware(), a.m.Middleware())
	b.pages()
	v := new(visitor)
	id := b.ok(v, "/set?user=alice")
	if got := b.ok(v, "/"); got != id || len(a.created) != 1 {
		t.Errorf("the session is %s, want %s; %d created hooks", got, id, len(a.created))
	}
}

// another makes another manager of the app's store.
func (a *app) another(opts ...lifecycle.ManagerOption) *lifecycle.Manager {
	a.t.Helper()
	m, err := lifecycle.New(a.store, opts...)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup((&app{t: a.t, m: m}).shutdown)
	return m
}

// After an inner middleware that has skipped the request, the outer session is meant again.
func TestNestedSkipper(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSessionName("site"))
	inner := a.another(lifecycle.WithSessionName("admin"), lifecycle.WithSkipper(func(*gin.Context) bool { return true }))
	b := a.with(a.m.Middleware(), func(c *gin.Context) {
		c.Next()
		if id := idOf(a.m.From(c)); id == "" || idOf(lifecycle.From(c)) != id || sessions.Default(c).ID() != id {
			t.Errorf("the session is %q, want %s", idOf(lifecycle.From(c)), id)
		}
	}, inner.Middleware())
	b.get("/", func(c *lifecycle.Context) {
		if c.Session() != nil {
			t.Error("the skipped request has an inner session")
		}
		c.String(http.StatusOK, "")
	})
	b.ok(new(visitor), "/")
}

// Two managers take a session each of those of SessionsMany. All of them stay within reach.
func TestSessionsManyNested(t *testing.T) {
	t.Parallel()
	names := []string{"first", "second", "third"}
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSessionName("first"))
	inner := a.another(lifecycle.WithSessionName("second"))
	ids := func(c *gin.Context) (ids [3]string) {
		for i, name := range names {
			ids[i] = sessions.DefaultMany(c, name).ID()
		}
		return ids
	}
	b := a.with(sessions.SessionsMany(names, a.store), a.m.Middleware(), func(c *gin.Context) {
		c.Next()
		if got := ids(c); got[0] != idOf(a.m.From(c)) || got[1] == "" || lifecycle.From(c).Values() != sessions.DefaultMany(c, "first") {
			t.Errorf("after the inner middleware the sessions are %q", got)
		}
	}, inner.Middleware())
	b.get("/", func(c *lifecycle.Context) {
		if got := ids(c.Context); got[0] != idOf(a.m.From(c.Context)) || got[1] != idOf(c) {
			t.Errorf("the sessions are %q", got)
		}
		c.String(http.StatusOK, "")
	})
	b.ok(new(visitor), "/")
}

// Three managers on one route: the third one may not have the name of the first one, which is
// not the one just before it.
func TestThreeManagers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"site", "third"} {
		a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSessionName("site"))
		second := a.another(lifecycle.WithSessionName("admin"))
		for where, third := range map[string]*lifecycle.Manager{
			"the same store": a.another(lifecycle.WithSessionName(name)),
			"another store":  newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSessionName(name)).m,
		} {
			b := a.with(a.m.Middleware(), second.Middleware(), third.Middleware())
			b.router.GET("/", third.Handler(func(c *lifecycle.Context) {
				c.String(http.StatusOK, "%s", idOf(c))
			}))
			want := map[string]int{"site": http.StatusInternalServerError, "third": http.StatusOK}[name]
			if w := b.visit(new(visitor), "/"); w.Code != want {
				t.Errorf("%s, of %s: %d, want %d", name, where, w.Code, want)
			}
		}
	}
}

// A middleware that is used wrongly panics in no request, also if the error handler goes on and
// uses the session. It has none, and everything returns the error.
func TestUsedWrongly(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSessionName("third"), lifecycle.WithErrorHandler(func(c *gin.Context, err error) {
		if got := lifecycle.From(c).DestroySession(); !errors.Is(got, err) {
			t.Errorf("DestroySession in the error handler: %v, want %v", got, err)
		}
		c.Next()
	}))
	b := a.with(sessions.SessionsMany([]string{"first", "second"}, a.store), a.m.Middleware())
	b.get("/", func(c *lifecycle.Context) {
		c.Values().Set("k", "v")
		_, previous := c.Previous()
		for i, err := range []error{
			c.Values().Save(), c.DestroySession(), c.RotateSession(), c.RenewSession(), c.Begin(), c.SetTimeouts(time.Hour, 0),
			register(c, nothing), context.Cause(c.SessionContext()),
		} {
			if err == nil || !strings.Contains(err.Error(), "WithSessionName") {
				t.Errorf("use %d: %v", i, err)
			}
		}
		if c.Session() != nil || previous {
			t.Error("there is a session")
		}
		c.String(http.StatusOK, "public")
	})
	if got := b.ok(new(visitor), "/"); got != "public" {
		t.Errorf("the page says %q", got)
	}
	if n := a.warned("used wrongly"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}

// The middleware of a manager is used wrongly, and its error handler goes on. After an inner
// middleware, the session that was there before is meant again.
func TestNestedInOneUsedWrongly(t *testing.T) {
	t.Parallel()
	other := newApp(t, shared(t), redistest.Prefix())
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithErrorHandler(func(c *gin.Context, _ error) { c.Next() }))
	inner := a.another(lifecycle.WithSessionName("admin"))
	b := a.with(sessions.Sessions("session", other.store), a.m.Middleware(), func(c *gin.Context) {
		before := sessions.Default(c)
		c.Next()
		if sessions.Default(c) != before {
			t.Error("after the inner middleware, another session is meant")
		}
	}, inner.Middleware())
	b.pages()
	if b.ok(new(visitor), "/") == "" {
		t.Error("there is no session")
	}
}

// The error handler of a middleware that is used wrongly may hand the request to a page that has
// the same middleware. The page runs, and the error handler does not run again.
func TestErrorPageOfOneUsedWrongly(t *testing.T) {
	t.Parallel()
	other := newApp(t, shared(t), redistest.Prefix())
	calls := 0
	var b *app
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithErrorHandler(func(c *gin.Context, _ error) {
		if calls++; calls < 3 {
			c.Request.URL.Path = "/sorry"
			b.router.HandleContext(c)
		}
	}))
	b = a.with(sessions.Sessions("session", other.store), a.m.Middleware())
	b.pages()
	b.get("/sorry", func(c *lifecycle.Context) {
		if c.Session() != nil || c.RotateSession() == nil {
			t.Error("the page has a session")
		}
		c.String(http.StatusInternalServerError, "sorry")
	})
	if w := b.visit(new(visitor), "/"); w.Code != http.StatusInternalServerError || w.Body.String() != "sorry" || calls != 1 {
		t.Errorf("%d %q after %d calls of the error handler", w.Code, w.Body, calls)
	}
}
