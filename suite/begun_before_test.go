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

// savesBefore puts a handler between sessions.Sessions and the lifecycle middleware that saves a
// value, as those do that protect forms.
func savesBefore(a *app) *app {
	b := a.with(sessions.Sessions("session", a.store), func(c *gin.Context) {
		s := sessions.Default(c)
		if s.Get("salt") == nil {
			s.Set("salt", "x")
			if err := s.Save(); err != nil {
				a.t.Error(err)
			}
		}
	}, a.m.Middleware())
	b.pages()
	return b
}

// A handler before the middleware begins the session with a Save. The created hooks run once,
// before the page, see its values and may set others.
func TestCreatedHooksOfASessionBegunBefore(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]lifecycle.Option{nil, {lifecycle.WithLazyCreation()}} {
		a := newApp(t, shared(t), redistest.Prefix(), opts...)
		a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
			s.Set("tenant", s.Get("salt").(string)+"y")
			return nil
		})
		b := savesBefore(a)
		v := new(visitor)
		if got := b.ok(v, "/get?key=tenant"); got != "xy" {
			t.Errorf("the hook has set %q", got)
		}
		id := b.ok(v, "/")
		if got := b.ok(v, "/get?key=salt") + b.ok(v, "/get?key=tenant"); got != "xxy" {
			t.Errorf("the next requests see %q", got)
		}
		if s := a.nextCreated(); s.ID != id || len(a.created) != 0 {
			t.Errorf("created hook for %s, want %s; and %d more", s.ID, id, len(a.created))
		}
		b.ok(v, "/destroy")
		if s := a.nextDestroyed(); s.ID != id {
			t.Errorf("destroyed hook for %s, want %s", s.ID, id)
		}
	}
}

// A created hook refuses such a session, too.
func TestRefusedSessionBegunBefore(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithCreatedHooksRequired())
	a.m.OnSessionCreated(func(context.Context, *lifecycle.Session) error { return errors.New("no seat is free") })
	b := savesBefore(a)
	v := new(visitor)
	if w := b.visit(v, "/"); w.Code != http.StatusInternalServerError || v.cookie != "" {
		t.Errorf("%d, and the visitor has the cookie %q", w.Code, v.cookie)
	}
	if s := a.nextDestroyed(); s.ID != a.nextCreated().ID {
		t.Errorf("destroyed hook for %s, which is another session", s.ID)
	}
}

// A handler before the middleware saves the session, or begins it so. On a passive route the
// session tells the end that it has in Redis.
func TestPassiveTellsTheEndOfASessionSavedBefore(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithUnconfirmedTimeout(0))
	b := a.with(sessions.Sessions("session", a.store), func(c *gin.Context) {
		s := sessions.Default(c)
		if c.Query("anew") != "" {
			s.Options(sessions.Options{MaxAge: -1})
			if err := s.Save(); err != nil {
				t.Error(err)
			}
		}
		s.Set("visits", c.Query("n"))
		if err := s.Save(); err != nil {
			t.Error(err)
		}
	}, a.m.Middleware())
	var ends time.Time
	b.router.GET("/poll", lifecycle.Passive(), lifecycle.Handler(func(c *lifecycle.Context) {
		ends = c.Session().ExpiresAt
		c.String(http.StatusOK, idOf(c))
	}))
	v := new(visitor)
	id := b.ok(v, "/poll?n=1")
	for _, next := range []string{"/poll?n=2", "/poll?n=3&anew=1", "/poll"} {
		left := a.left(id)
		if off := time.Until(ends) - left; off < -30*time.Second || off > 30*time.Second {
			t.Errorf("before %s: the session ends at %v, but lives for %v", next, ends, left)
		}
		a.expireIn(id, time.Minute)
		before := id
		if id = b.ok(v, next); id != before && a.left(id) < 5*time.Minute {
			t.Errorf("%s: the new session lives for %v", next, a.left(id))
		}
	}
}
