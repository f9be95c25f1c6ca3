package suite_test

import (
	"context"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/embedded"
)

func TestReasons(t *testing.T) {
	t.Parallel()
	for reason, run := range map[lifecycle.Reason]func(t *testing.T) *app{
		lifecycle.ReasonIdleTimeout: func(t *testing.T) *app {
			a := newApp(t, shared(t), prefix(), lifecycle.WithIdleTimeout(50*time.Millisecond))
			a.begin()
			return a
		},
		lifecycle.ReasonAbsoluteTimeout: func(t *testing.T) *app {
			a := newApp(t, shared(t), prefix(), lifecycle.WithAbsoluteTimeout(300*time.Millisecond))
			id, v := a.begin()
			eventually(t, "it ends however often it is used", func() bool { return a.ok(v, "/") != id })
			return a
		},
		lifecycle.ReasonDestroyed: func(t *testing.T) *app {
			a := newApp(t, shared(t), prefix())
			a.get("/logout", func(c *lifecycle.Context) {
				s := sessions.Default(c.Context)
				s.Clear()
				s.Options(sessions.Options{MaxAge: -1})
				if err := s.Save(); err != nil {
					t.Error(err)
				}
				if err := s.Save(); err != nil { // nothing written since
					t.Error(err)
				}
			})
			_, v := a.begin()
			if a.visit(v, "/logout"); v.cookie != "" {
				t.Errorf("the cookie is %s", v.cookie)
			}
			return a
		},
		lifecycle.ReasonRevoked: func(t *testing.T) *app {
			a := newApp(t, shared(t), prefix())
			id, _ := a.begin()
			if err := a.m.Destroy(within(t), id, ""); err != nil {
				t.Error(err)
			}
			return a
		},
		"banned": func(t *testing.T) *app {
			a := newApp(t, shared(t), prefix())
			id, _ := a.begin()
			if err := a.m.Destroy(within(t), id, "banned"); err != nil {
				t.Error(err)
			}
			return a
		},
		lifecycle.ReasonDeleted: func(t *testing.T) *app {
			needsNotifications(t)
			a := newApp(t, shared(t), prefix()).start()
			a.listens()
			id, _ := a.begin()
			a.del(a.liveKey(id))
			return a
		},
		lifecycle.ReasonEvicted: func(t *testing.T) *app {
			a := newApp(t, onServer(t, startServer(t)), prefix()).start()
			a.listens()
			a.begin()
			for _, set := range [][2]string{{"maxmemory-policy", "volatile-lru"}, {"maxmemory", "1mb"}} {
				if err := a.admin.ConfigSet(within(t), set[0], set[1]).Err(); err != nil {
					t.Error(err)
				}
			}
			// Any write makes Redis look for keys to evict, and fails for want of others.
			eventually(t, "eviction", func() bool {
				a.admin.Set(within(t), "x", "y", 0)
				return len(a.keys("live:*")) == 0
			})
			a.admin.ConfigSet(within(t), "maxmemory", "0")
			return a
		},
		lifecycle.ReasonLost: func(t *testing.T) *app {
			a := newApp(t, shared(t), prefix())
			id, _ := a.begin()
			a.del(a.key("session:" + id))
			a.del(a.liveKey(id))
			a.makeAllDue()
			return a
		},
	} {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			a := run(t)
			if s := a.nextDestroyed(); s.Reason != reason {
				t.Errorf("reason %q", s.Reason)
			}
		})
	}
}

// A session that is used up to its absolute deadline reaches just that, however
// the due-index came to know of it.
func TestAbsoluteTimeoutOfAUsedSession(t *testing.T) {
	t.Parallel()
	rdb, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	for name, d := range map[string]deployment{"real": shared(t), "in process": onClient(rdb.Client)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const idle, absolute = 2 * time.Second, 3 * time.Second
			a := newAppWithoutHooks(t, d, prefix(), lifecycle.WithIdleTimeout(idle), lifecycle.WithAbsoluteTimeout(absolute))
			a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
				a.destroyed <- s
				return nil
			})
			const n = 10
			visitors := make(map[string]*visitor)
			for range n {
				id, v := a.begin()
				visitors[id] = v
			}
			for len(visitors) > 0 { // each is used until it is gone
				for id, v := range visitors {
					if a.ok(v, "/") != id {
						delete(visitors, id)
					}
				}
			}
			for range n {
				s := a.nextDestroyed()
				if s.Reason != lifecycle.ReasonAbsoluteTimeout || s.EndedAt.Sub(s.CreatedAt) != absolute {
					t.Errorf("ended: %s after %v", s.Reason, s.EndedAt.Sub(s.CreatedAt))
				}
			}
		})
	}
}

// FLUSHALL: the sessions are gone, the closures of living instances run.
func TestClosuresOfLostSessions(t *testing.T) {
	t.Parallel()
	a := newApp(t, onServer(t, startServer(t)), prefix())
	ran := make(chan *lifecycle.Session, 2)
	a.hold(func(_ context.Context, s *lifecycle.Session) error {
		ran <- s
		return nil
	})
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	a.ok(v, "/hold")
	if err := a.admin.FlushAll(within(t)).Err(); err != nil {
		t.Fatal(err)
	}
	if s := receive(t, ran); s.ID != id || s.Reason != lifecycle.ReasonLost || s.Get("user") != "alice" {
		t.Errorf("ran with %s, %s, %v", s.ID, s.Reason, s.Values())
	}
	next, _ := a.begin()
	if err := a.m.Destroy(within(t), next, ""); err != nil {
		t.Fatal(err)
	}
	if s := a.nextDestroyed(); s.ID != next {
		t.Errorf("ended: %s", s.ID)
	}
	a.shutdown()
	if len(ran) > 0 {
		t.Error("ran twice")
	}
}
