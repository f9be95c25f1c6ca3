package suite_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Guarantee 8: while Redis is away, requests fail with a clear error. When Redis is back,
// everything continues by itself, with the sessions that have ended meanwhile.
func TestRedisAwayAndBack(t *testing.T) {
	t.Parallel()
	server := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
	var failure error
	a := newApp(t, onServer(t, server), redistest.Prefix(), lifecycle.WithIdleTimeout(time.Second),
		lifecycle.WithRedisTimeout(500*time.Millisecond),
		lifecycle.WithErrorHandler(func(c *gin.Context, err error) {
			failure = err
			c.AbortWithStatus(http.StatusServiceUnavailable)
		}))
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	server.Kill()
	for range 3 {
		w := a.visit(&visitor{v.cookie}, "/set?user=mallory")
		if w.Code != http.StatusServiceUnavailable || !errors.Is(failure, lifecycle.ErrUnavailable) {
			t.Fatalf("with Redis away: %d, %v", w.Code, failure)
		}
		if len(w.Result().Cookies()) > 0 {
			t.Error("a response without a session changes the cookie")
		}
	}
	redistest.Eventually(t, "the log says that Redis is away", func() bool { return a.log.Contains(logRedisAway) })
	server.Restart(t)
	s := a.nextDestroyed()
	if s.ID != id || s.Reason != lifecycle.ReasonIdleTimeout || s.Get("user") != "alice" {
		t.Errorf("ended: %s, %s, %v", s.ID, s.Reason, s.Values())
	}
	redistest.Eventually(t, "requests work again", func() bool { return a.visit(new(visitor), "/").Code == http.StatusOK })
	redistest.Eventually(t, "the log says that Redis is back", func() bool { return a.log.Contains(logWorksAgain) })
}

// Guarantee 8: a server accepts connections and does not answer. Requests fail after the
// time of WithRedisTimeout.
func TestRedisDoesNotAnswer(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	a := newApp(t, onServer(t, server), redistest.Prefix(), lifecycle.WithRedisTimeout(500*time.Millisecond))
	lazy := newApp(t, onServer(t, server), a.prefix, lifecycle.WithRedisTimeout(500*time.Millisecond), lifecycle.WithLazyCreation())
	_, v := a.begin()
	lazy.start()
	server.Pause()
	defer server.Resume()
	// If the session cannot be read, no handler runs with an empty session instead.
	if w := lazy.visit(&visitor{v.cookie}, "/get?key=user"); w.Code != http.StatusServiceUnavailable || w.Body.Len() > 0 {
		t.Errorf("a visitor with a session, with lazy creation: %d, %q", w.Code, w.Body)
	}
	if w := a.visit(v, "/"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a visitor with a session: %d", w.Code)
	}
	if w := a.visit(new(visitor), "/"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a new visitor: %d", w.Code)
	}
}

// Guarantee 9: without notifications, without CONFIG, and on another kind of server, the
// same things happen.
func TestWorksWithoutNotificationsAndConfig(t *testing.T) {
	t.Parallel()
	for name, setup := range map[string]func(t *testing.T) (deployment, []lifecycle.Option){
		"switched off": func(t *testing.T) (deployment, []lifecycle.Option) {
			return shared(t), []lifecycle.Option{lifecycle.WithNotifications(false)}
		},
		"CONFIG refused": func(t *testing.T) (deployment, []lifecycle.Option) {
			return onServer(t, startServer(t, "--rename-command", "CONFIG", "")), nil
		},
		"no active expiry": func(t *testing.T) (deployment, []lifecycle.Option) {
			d := onServer(t, startServer(t))
			if err := d.admin.Do(redistest.Within(t), "DEBUG", "SET-ACTIVE-EXPIRE", "0").Err(); err != nil {
				t.Fatal(err)
			}
			return d, nil
		},
		"in process": func(t *testing.T) (deployment, []lifecycle.Option) { return inProcess(t), nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, opts := setup(t)
			a, b := endsAreFound(t, d, opts)
			if a.quiet(); name == "CONFIG refused" {
				// Each instance says so once, if it has tried to switch on notifications.
				n, m := strings.Count(a.log.String(), logConfigRefused), strings.Count(b.log.String(), logConfigRefused)
				if n > 1 || m > 1 || n+m == 0 {
					t.Errorf("the logs say %d and %d times that Redis refuses CONFIG", n, m)
				}
			}
		})
	}
}

// endsAreFound starts two instances. It checks that they find a timeout and a logout.
func endsAreFound(t *testing.T, d deployment, opts []lifecycle.Option) (a, b *app) {
	t.Helper()
	p := redistest.Prefix()
	opts = append(opts, lifecycle.WithIdleTimeout(time.Second))
	a, b = newAppWithoutHooks(t, d, p, opts...), newAppWithoutHooks(t, d, p, opts...)
	for _, x := range []*app{a, b} {
		x.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
			a.destroyed <- s
			return nil
		})
		x.start()
	}
	ran := make(chan lifecycle.Reason, 1)
	a.hold(func(_ context.Context, s *lifecycle.Session) error {
		ran <- s.Reason
		return nil
	})
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	a.ok(v, "/hold")
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonIdleTimeout || s.Get("user") != "alice" {
		t.Errorf("timed out: %s, %s, %v", s.ID, s.Reason, s.Values())
	}
	if r := redistest.Receive(t, ran); r != lifecycle.ReasonIdleTimeout {
		t.Errorf("closure: reason %s", r)
	}
	id, v = a.begin()
	a.ok(v, "/destroy")
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("destroyed: %s, %s", s.ID, s.Reason)
	}
	redistest.Eventually(t, "both ends are finished", func() bool { return len(a.keys("*")) == 0 })
	return a, b
}
