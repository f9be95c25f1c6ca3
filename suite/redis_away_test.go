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
	"github.com/gin-lifecycle/lifecycle/embedded"
)

// Promise 8: with Redis away requests fail with a clear error, and everything
// goes on by itself when it is back, with the ends of the meantime.
func TestRedisAwayAndBack(t *testing.T) {
	t.Parallel()
	server := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
	var failure error
	a := newApp(t, onServer(t, server), prefix(), lifecycle.WithIdleTimeout(time.Second),
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
			t.Error("the answer without a session touches the cookie")
		}
	}
	eventually(t, "the log says so", func() bool { return strings.Contains(a.log.String(), "Redis is away") })
	server.Restart(t)
	s := a.nextDestroyed()
	if s.ID != id || s.Reason != lifecycle.ReasonIdleTimeout || s.Get("user") != "alice" {
		t.Errorf("ended: %s, %s, %v", s.ID, s.Reason, s.Values())
	}
	eventually(t, "requests work again", func() bool { return a.visit(new(visitor), "/").Code == http.StatusOK })
	eventually(t, "the log says so", func() bool { return strings.Contains(a.log.String(), "works again") })
}

// Promise 8: a server that is there and does not answer costs a request the
// bound of WithRedisTimeout, not forever.
func TestRedisDoesNotAnswer(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	a := newApp(t, onServer(t, server), prefix(), lifecycle.WithRedisTimeout(500*time.Millisecond))
	lazy := newApp(t, onServer(t, server), a.prefix, lifecycle.WithRedisTimeout(500*time.Millisecond), lifecycle.WithLazyCreation())
	_, v := a.begin()
	lazy.start()
	server.Pause()
	defer server.Resume()
	// No handler runs with an empty session in place of one that cannot be read.
	if w := lazy.visit(&visitor{v.cookie}, "/get?key=user"); w.Code != http.StatusServiceUnavailable || w.Body.Len() > 0 {
		t.Errorf("status %d, %q", w.Code, w.Body)
	}
	if w := a.visit(v, "/"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
	if w := a.visit(new(visitor), "/"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
}

// Promise 9: without notifications, without CONFIG and on another server the
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
			if err := d.admin.Do(within(t), "DEBUG", "SET-ACTIVE-EXPIRE", "0").Err(); err != nil {
				t.Fatal(err)
			}
			return d, nil
		},
		"in process": func(t *testing.T) (deployment, []lifecycle.Option) {
			c, err := embedded.Start()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			return onClient(c.Client), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, opts := setup(t)
			p := prefix()
			opts = append(opts, lifecycle.WithIdleTimeout(time.Second))
			a := newAppWithoutHooks(t, d, p, opts...)
			b := newAppWithoutHooks(t, d, p, opts...)
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
			if r := receive(t, ran); r != lifecycle.ReasonIdleTimeout {
				t.Errorf("closure: %s", r)
			}
			id, v = a.begin()
			a.ok(v, "/destroy")
			if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed {
				t.Errorf("destroyed: %s, %s", s.ID, s.Reason)
			}
			eventually(t, "all acked", func() bool { return len(a.keys("*")) == 0 })
			if a.quiet(); name == "CONFIG refused" {
				// Each instance that has been the one to listen says so once.
				n, m := strings.Count(a.log.String(), "refuses CONFIG"), strings.Count(b.log.String(), "refuses CONFIG")
				if n > 1 || m > 1 || n+m == 0 {
					t.Errorf("said %d and %d times that CONFIG is refused", n, m)
				}
			}
		})
	}
}
