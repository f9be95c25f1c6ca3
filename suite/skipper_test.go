package suite_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// newSkippingApp returns an app that skips the pages under /skip/.
func newSkippingApp(t *testing.T) *app {
	t.Helper()
	return newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSkipper(func(c *gin.Context) bool {
		return strings.HasPrefix(c.Request.URL.Path, "/skip/")
	}))
}

// A request that WithSkipper names has no session, and the library does not ask Redis. The
// response has no header of the library, so that caches may keep it.
func TestSkipper(t *testing.T) {
	t.Parallel()
	a := newSkippingApp(t)
	sent := watch(a.rdb)
	for what, do := range map[string]func(c *lifecycle.Context) error{
		"nothing": func(*lifecycle.Context) error { return nil },
		"save":    func(c *lifecycle.Context) error { return save(c, "k", "v") },
		"destroy": func(c *lifecycle.Context) error { return c.DestroySession() },
		"hook":    func(c *lifecycle.Context) error { return register(c, nothing) },
		"logout":  logout,
	} {
		a.get("/skip/"+what, func(c *lifecycle.Context) {
			if c.Session() != nil || sessions.Default(c.Context).Get("k") != nil {
				t.Error("there is a session")
			}
			err := do(c)
			if what != "nothing" && !errors.Is(err, lifecycle.ErrSessionWithheld) {
				t.Errorf("%s: %v", what, err)
			}
			c.Header("Cache-Control", "public")
			c.String(http.StatusOK, "page")
		})
		_, known := a.begin()
		asked := len(sent.of("getex"))
		for _, v := range []*visitor{{}, known} {
			w := a.visit(v, "/skip/"+what)
			if h := w.Header(); w.Code != http.StatusOK || len(h.Values("Set-Cookie")) != 0 || h.Get("Vary") != "" || h.Get("Cache-Control") != "public" {
				t.Errorf("%s: %d %v", what, w.Code, h)
			}
		}
		if len(sent.of("getex")) != asked {
			t.Errorf("%s: the library has asked Redis", what)
		}
	}
}

// WithSkipper works with gin-contrib's middleware in front, also if something in between
// has replaced the request, or has read the session.
func TestSkipperBehindSessions(t *testing.T) {
	t.Parallel()
	a := newSkippingApp(t)
	sent := watch(a.rdb)
	id, known := a.begin()
	direct := a.with(sessions.Sessions("session", a.store), a.m.Middleware())
	between := a.with(sessions.Sessions("session", a.store), func(c *gin.Context) {
		c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), t, true))
		if c.Query("read") != "" && sessions.Default(c).ID() != id {
			t.Error("in front of the middleware there is no session")
		}
	}, a.m.Middleware())
	for _, b := range []*app{direct, between} {
		b.get("/skip/page", func(c *lifecycle.Context) {
			if sessions.Default(c.Context).ID() != "" || c.Session() != nil {
				t.Error("there is a session")
			}
		})
	}
	for _, query := range []string{"", "?read=1"} {
		if w := between.visit(&visitor{known.cookie}, "/skip/page"+query); w.Code != http.StatusOK || len(w.Header()) != 0 {
			t.Errorf("%q: %d, %v", query, w.Code, w.Header())
		}
	}
	asked := len(sent.of("getex"))
	if w := direct.visit(known, "/skip/page"); w.Code != http.StatusOK || len(sent.of("getex")) != asked {
		t.Errorf("%d, the library asked Redis %d times, want never", w.Code, len(sent.of("getex"))-asked)
	}
}
