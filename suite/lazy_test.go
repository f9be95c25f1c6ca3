package suite_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// With WithLazyCreation a session begins at the first Save.
func TestLazyCreation(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithLazyCreation())
	a.get("/hold", func(c *lifecycle.Context) {
		for _, err := range []error{register(c, nothing), c.RotateSession(), c.DestroySession()} {
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
		t.Error("the created hook ran again")
	}
	if got := a.ok(v, "/get?key=user"); got != "bob" {
		t.Errorf("user %q", got)
	}
}

// The login and the logout of the documentation work for a visitor without a session. A
// first Save that comes too late returns an error.
func TestLazyLoginAndLogout(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithLazyCreation())
	a.get("/login", func(c *lifecycle.Context) {
		if err := c.RotateSession(); err != nil && !errors.Is(err, lifecycle.ErrNoSession) {
			c.AbortWithStatus(http.StatusServiceUnavailable)
			return
		}
		a.answer(c, save(c, "user", "ann"))
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
		if err := save(c, "user", "ann"); !errors.Is(err, lifecycle.ErrHeadersWritten) {
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
