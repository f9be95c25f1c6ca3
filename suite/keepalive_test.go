package suite_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// shortIdle is an idle timeout that a test can wait for several times.
const shortIdle = 2 * time.Second

// passes waits until several idle timeouts have passed.
func passes(t *testing.T) {
	t.Helper()
	began := time.Now()
	redistest.Eventually(t, "three idle timeouts have passed", func() bool { return time.Since(began) > 3*shortIdle })
}

// While a handler runs, its session does not end by idleness, on any instance; a rotation,
// other timeouts and a save change nothing. After the handler has returned it ends as always.
func TestAliveWhileAHandlerRuns(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]string{"nothing else": "", "a rotation": "/rotate", "a save": "/set?k=v", "other timeouts": "/timeouts"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prefix := redistest.Prefix()
			opts := []lifecycle.Option{lifecycle.WithIdleTimeout(shortIdle), lifecycle.WithUnconfirmedTimeout(0)}
			a, b := newApp(t, shared(t), prefix, opts...).start(), newApp(t, shared(t), prefix, opts...).start()
			b.get("/timeouts", func(c *lifecycle.Context) { b.answer(c, c.SetTimeouts(shortIdle+time.Millisecond, time.Hour)) })
			m := a.meet(func(*lifecycle.Context) {}, func(c *lifecycle.Context) error {
				if idOf(c) == "" {
					return lifecycle.ErrSessionEnded
				}
				return nil
			})
			id, v := a.begin()
			trips := a.tripsOf(id)
			status, body := m.during(v, func() {
				if other != "" {
					b.ok(v, other)
				}
				passes(t)
				for _, x := range []*app{a, b} {
					x.quiet()
				}
			})
			if status != http.StatusOK || body != id {
				t.Errorf("%d %s", status, body)
			}
			// One command for each third, and some more where the live key has got another name.
			if n := trips(); n < 7 || n > 40 {
				t.Errorf("%d round trips", n)
			}
			redistest.Eventually(t, "the session ends after the handler", func() bool { return len(a.destroyed)+len(b.destroyed) == 1 })
			from := a
			if len(b.destroyed) == 1 {
				from = b
			}
			if s := from.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonIdleTimeout {
				t.Errorf("ended: %s, %s", s.ID, s.Reason)
			}
		})
	}
}

// A handler that gives its session a much shorter idle timeout keeps it alive all the same.
func TestAliveWithAShorterTimeout(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix()).start()
	m := a.meet(func(c *lifecycle.Context) {
		if err := c.SetTimeouts(shortIdle, 0); err != nil {
			t.Error(err)
		}
	}, func(c *lifecycle.Context) error { return save(c, "k", "v") })
	id, v := a.begin()
	a.ok(v, "/")
	if status, body := m.during(v, func() { passes(t); a.quiet() }); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonIdleTimeout {
		t.Errorf("ended: %s, %s", s.ID, s.Reason)
	}
}

// A session that begins in a request that takes long lives as long as its handler runs, and so
// does one that RenewSession begins there. One that ends is not kept.
func TestAliveWhileTheFirstHandlerRuns(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithIdleTimeout(shortIdle)).start()
	m := a.meet(func(c *lifecycle.Context) {
		if c.Query("renew") != "" {
			if err := c.RenewSession(); err != nil {
				t.Error(err)
			}
		}
	}, func(c *lifecycle.Context) error { return save(c, "k", "v") })
	if status, body := m.during(new(visitor), func() { passes(t) }); status != http.StatusOK {
		t.Errorf("the first request: %d %s", status, body)
	}
	a.nextDestroyed()
	id, v := a.begin()
	a.ok(v, "/")
	status, _ := m.during(v, func() {
		a.end(id, "revoked")
		if s := a.nextDestroyed(); s.ID != id {
			t.Errorf("ended: %s", s.ID)
		}
		passes(t)
	})
	if status != http.StatusConflict {
		t.Errorf("a Save of the session that has ended: %d", status)
	}
}

// A handler does not keep its session beyond the absolute timeout, and a passive one does not
// keep it at all.
func TestNotAliveForEver(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithIdleTimeout(shortIdle), lifecycle.WithAbsoluteTimeout(2*shortIdle)).start()
	m := a.meet(func(*lifecycle.Context) {}, func(*lifecycle.Context) error { return nil })
	id, v := a.begin()
	m.during(v, func() {
		if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonAbsoluteTimeout {
			t.Errorf("ended: %s, %s", s.ID, s.Reason)
		}
	})
	b := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithIdleTimeout(shortIdle), lifecycle.WithUnconfirmedTimeout(0)).start()
	b.router.Use(lifecycle.Passive())
	m = b.meet(func(*lifecycle.Context) {}, func(*lifecycle.Context) error { return nil })
	id, v = b.begin()
	m.during(v, func() {
		if s := b.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonIdleTimeout {
			t.Errorf("ended: %s, %s", s.ID, s.Reason)
		}
	})
}

// KeepAlive keeps a session for what outlives its handler, until stop is called.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithIdleTimeout(shortIdle), lifecycle.WithUnconfirmedTimeout(0)).start()
	var stop func()
	a.get("/keep", func(c *lifecycle.Context) {
		var err error
		stop, err = c.KeepAlive()
		a.answer(c, err)
	})
	id, v := a.begin()
	a.ok(v, "/keep")
	a.ok(v, "/rotate")
	passes(t)
	a.quiet()
	if got := a.ok(v, "/"); got != id {
		t.Errorf("the session is %s, want %s", got, id)
	}
	stop()
	stop()
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonIdleTimeout {
		t.Errorf("ended: %s, %s", s.ID, s.Reason)
	}
	a.cut = true
	a.shutdown()
	if w := a.visit(new(visitor), "/keep"); w.Code != http.StatusConflict {
		t.Errorf("after the shutdown: %d %s", w.Code, w.Body)
	}
}

// Touch prolongs a session by its ID, after a rotation too.
func TestTouch(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	id, v := a.begin()
	for range 2 {
		a.expireIn(id, time.Minute)
		if err := a.m.Touch(redistest.Within(t), id); err != nil {
			t.Fatal(err)
		}
		if left := a.left(id); left < 29*time.Minute {
			t.Errorf("the session lives for %v, want half an hour", left)
		}
		a.ok(v, "/rotate")
	}
	a.end(id, "")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range map[string]error{
		"ended":  a.m.Touch(redistest.Within(t), id),
		"no ID":  a.m.Touch(redistest.Within(t), "*"),
		"no one": a.m.Touch(redistest.Within(t), "AAAAAAAAAAAAAAAAAAAAAA"),
	} {
		if !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := a.m.Touch(gone, id); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	spoilt, _ := a.begin()
	a.spoil(spoilt)
	if err := a.m.Touch(redistest.Within(t), spoilt); !errors.Is(err, lifecycle.ErrUndecodable) {
		t.Errorf("with an unreadable record: %v", err)
	}
}

// Another request, on this instance or on another one, gives the session a much shorter idle
// timeout. What runs for the session keeps it alive all the same: a handler that has not yet
// had to prolong it, and KeepAlive.
func TestAliveWithAShorterTimeoutOfAnotherRequest(t *testing.T) {
	t.Parallel()
	for _, elsewhere := range []bool{false, true} {
		for _, held := range []bool{false, true} {
			t.Run(fmt.Sprintf("another instance %v, KeepAlive %v", elsewhere, held), func(t *testing.T) {
				t.Parallel()
				prefix := redistest.Prefix()
				a, b := newApp(t, shared(t), prefix).start(), newApp(t, shared(t), prefix).start()
				for _, x := range []*app{a, b} {
					x.get("/shorter", func(c *lifecycle.Context) { x.answer(c, c.SetTimeouts(shortIdle, 0)) })
				}
				redistest.Eventually(t, "both instances have subscribed", func() bool {
					return a.m.Stats().Instances == 2 && b.m.Stats().Instances == 2 && len(a.on.channels(t, prefix+":instances")) > 0
				})
				stop := func() {}
				m := a.meet(func(c *lifecycle.Context) {
					if held {
						var err error
						if stop, err = c.KeepAlive(); err != nil {
							t.Error(err)
						}
					}
				}, func(*lifecycle.Context) error { return nil })
				id, v := a.begin()
				a.ok(v, "/")
				other := a
				if elsewhere {
					other = b
				}
				shorten := func() {
					other.ok(v, "/shorter")
					passes(t)
					if len(a.destroyed)+len(b.destroyed) > 0 {
						t.Error("the session has ended")
					}
				}
				if held {
					m.during(v, func() {})
					shorten()
				} else {
					m.during(v, shorten)
				}
				if got := a.ok(v, "/"); got != id {
					t.Errorf("the session is %s, want %s", got, id)
				}
				stop()
				redistest.Eventually(t, "the session ends afterwards", func() bool { return len(a.destroyed)+len(b.destroyed) == 1 })
			})
		}
	}
}
