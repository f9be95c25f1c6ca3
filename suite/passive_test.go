package suite_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A passive route has the session and does not prolong it, in one round trip. No session
// begins there.
func TestPassive(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	page := lifecycle.Handler(func(c *lifecycle.Context) {
		if s := c.Session(); s != nil {
			if left := time.Until(s.ExpiresAt); left > time.Minute+time.Second || left < 30*time.Second { // the clock of Redis is estimated
				t.Errorf("%s: %v are left, want a minute", c.FullPath(), left)
			}
			if s.LastSeenAt.Before(s.CreatedAt) || time.Since(s.LastSeenAt) > time.Hour {
				t.Errorf("%s: last seen at %v", c.FullPath(), s.LastSeenAt)
			}
		}
		if c.Query("save") != "" {
			c.Values().Set("n", c.Query("save"))
			a.answer(c, c.Values().Save())
			return
		}
		c.String(http.StatusOK, idOf(c))
	})
	a.router.GET("/route", lifecycle.Passive(), page)
	group := a.router.Group("/group", lifecycle.Passive())
	group.GET("/page", page)
	b := a.with(lifecycle.Passive(), a.m.Middleware())
	b.router.GET("/before", page)
	id, v := a.begin()
	a.ok(v, "/set?n=0") // Redis may not know the script yet
	trips := a.tripsOf(id)
	for path, on := range map[string]*app{"/route": a, "/group/page": a, "/before": b} {
		before := trips()
		a.expireIn(id, time.Minute)
		if got := on.ok(v, path); got != id {
			t.Errorf("%s: the session is %q, want %s", path, got, id)
		}
		if n := trips() - before; n != 1 {
			t.Errorf("%s: %d round trips, want one", path, n)
		}
		if got := on.ok(v, path+"?save="+path); got != id {
			t.Errorf("%s: after a Save the session is %q, want %s", path, got, id)
		}
		if left := a.left(id); left > time.Minute {
			t.Errorf("%s: the session lives for %v, want a minute", path, left)
		}
		if got := a.values(id)["n"]; got != path {
			t.Errorf("%s: the value is %v", path, got)
		}
		stranger := new(visitor)
		if got := on.ok(stranger, path); got != "" || stranger.cookie != "" {
			t.Errorf("%s: a session began: %q", path, stranger.cookie)
		}
		if w := on.visit(stranger, path+"?save=1"); w.Code != http.StatusConflict {
			t.Errorf("%s: a Save without a session: %d", path, w.Code)
		}
	}
	a.ok(v, "/")
	if left := a.left(id); left < time.Minute {
		t.Errorf("after another page the session lives for %v, want half an hour", left)
	}
}

// What a passive route cannot do says why.
func TestPassiveWithoutASession(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.router.NoRoute(lifecycle.Passive(), lifecycle.Handler(func(c *lifecycle.Context) {
		for _, err := range []error{c.RotateSession(), c.DestroySession(), c.RenewSession(), c.Begin(), c.SetTimeouts(time.Hour, 0)} {
			if !errors.Is(err, lifecycle.ErrSessionWithheld) {
				t.Errorf("%v, want ErrSessionWithheld", err)
			}
		}
		c.Status(http.StatusNoContent)
	}))
	v := new(visitor)
	if w := a.visit(v, "/nowhere"); w.Code != http.StatusNoContent || v.cookie != "" {
		t.Errorf("answered with %d, cookie %q", w.Code, v.cookie)
	}
}

// A session that was read before the middleware, or whose request was replaced, as tracing does,
// is not prolonged by a passive route either, and none begins.
func TestPassiveAfterTheSessionWasRead(t *testing.T) {
	t.Parallel()
	type key struct{}
	for name, before := range map[string]gin.HandlerFunc{
		"read": func(c *gin.Context) { sessions.Default(c).Get("user") },
		"replaced": func(c *gin.Context) {
			c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), key{}, 1))
		},
	} {
		a := newApp(t, shared(t), redistest.Prefix())
		b := a.with(sessions.Sessions("session", a.store), before, a.m.Middleware())
		b.router.GET("/poll", lifecycle.Passive(), lifecycle.Handler(func(c *lifecycle.Context) {
			if s := c.Session(); s != nil {
				if left := time.Until(s.ExpiresAt); left > time.Minute+time.Second || left < 30*time.Second { // the clock of Redis is estimated
					t.Errorf("%s: %v are left, want a minute", name, left)
				}
			}
			c.String(http.StatusOK, idOf(c))
		}))
		id, v := a.begin()
		a.ok(v, "/")
		a.expireIn(id, time.Minute)
		if got := b.ok(v, "/poll"); got != id {
			t.Errorf("%s: the session is %q, want %s", name, got, id)
		}
		if left := a.left(id); left > time.Minute {
			t.Errorf("%s: the session lives for %v, want a minute", name, left)
		}
		stranger := new(visitor)
		if got := b.ok(stranger, "/poll"); got != "" || stranger.cookie != "" {
			t.Errorf("%s: a session began: %q", name, stranger.cookie)
		}
	}
}

// In a passive route the time of the session's end stays as it is, but nothing lives beyond its
// absolute timeout.
func TestPassiveSetTimeouts(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix()).start()
	a.router.GET("/timeouts", lifecycle.Passive(), lifecycle.Handler(func(c *lifecycle.Context) {
		absolute, err := time.ParseDuration(c.Query("absolute"))
		if err = errors.Join(err, c.SetTimeouts(time.Hour, absolute)); err == nil && absolute > 0 {
			if left := time.Until(c.Session().ExpiresAt); left > absolute+time.Second {
				t.Errorf("the handler is told that %v are left, want %v", left, absolute)
			}
		}
		a.answer(c, err)
	}))
	id, v := a.begin()
	a.ok(v, "/")
	a.expireIn(id, 10*time.Minute)
	a.ok(v, "/timeouts?absolute=2h")
	if left := a.left(id); left > 10*time.Minute {
		t.Errorf("the session lives for %v, want ten minutes", left)
	}
	a.ok(v, "/timeouts?absolute=1m")
	if left := a.left(id); left > time.Minute {
		t.Errorf("the session lives for %v, want a minute", left)
	}
	a.ok(v, "/timeouts?absolute=1ms")
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonAbsoluteTimeout {
		t.Errorf("ended: %s, %s", s.ID, s.Reason)
	}
}
