package suite_test

import (
	"context"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Each end has the reason that fits.
func TestReasons(t *testing.T) {
	t.Parallel()
	for reason, run := range map[lifecycle.Reason]func(t *testing.T) *app{
		lifecycle.ReasonIdleTimeout:     endsIdle,
		lifecycle.ReasonAbsoluteTimeout: endsAtItsAbsoluteTimeout,
		lifecycle.ReasonDestroyed:       endsByLogout,
		lifecycle.ReasonRevoked:         func(t *testing.T) *app { return endsByDestroy(t, "") },
		"banned":                        func(t *testing.T) *app { return endsByDestroy(t, "banned") },
		lifecycle.ReasonDeleted:         endsByDeletion,
		lifecycle.ReasonEvicted:         endsByEviction,
		lifecycle.ReasonLost:            endsWithoutItsRecord,
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

func endsIdle(t *testing.T) *app {
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithIdleTimeout(50*time.Millisecond))
	a.begin()
	return a
}

func endsAtItsAbsoluteTimeout(t *testing.T) *app {
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithAbsoluteTimeout(300*time.Millisecond))
	id, v := a.begin()
	redistest.Eventually(t, "the session ends although it is used", func() bool { return a.ok(v, "/") != id })
	return a
}

func endsByLogout(t *testing.T) *app {
	a := newApp(t, shared(t), redistest.Prefix())
	a.get("/logout", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		s.Clear()
		s.Options(sessions.Options{MaxAge: -1})
		if err := s.Save(); err != nil {
			t.Error(err)
		}
		if err := s.Save(); err != nil { // nothing has changed since the first Save
			t.Error(err)
		}
	})
	_, v := a.begin()
	if a.visit(v, "/logout"); v.cookie != "" {
		t.Errorf("the cookie after the logout is %s", v.cookie)
	}
	return a
}

func endsByDestroy(t *testing.T, reason lifecycle.Reason) *app {
	a := newApp(t, shared(t), redistest.Prefix())
	id, _ := a.begin()
	a.end(id, reason)
	return a
}

// An administrator may give the text of a timeout as the reason. The times are those of the
// destruction all the same.
func TestTimesOfADestroyedSession(t *testing.T) {
	t.Parallel()
	for _, reason := range []lifecycle.Reason{lifecycle.ReasonAbsoluteTimeout, lifecycle.ReasonIdleTimeout, "banned"} {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), redistest.Prefix())
			id, v := a.begin()
			redistest.Eventually(t, "the session is used for a while", func() bool {
				a.ok(v, "/")
				s, err := a.m.Get(redistest.Within(t), id)
				return err == nil && s.LastSeenAt.Sub(s.CreatedAt) > 200*time.Millisecond
			})
			a.end(id, reason)
			s := a.nextDestroyed()
			if s.Reason != reason {
				t.Errorf("reason %q", s.Reason)
			}
			for name, at := range map[string]time.Time{"EndedAt": s.EndedAt, "LastSeenAt": s.LastSeenAt} {
				if at.Sub(s.CreatedAt) < 100*time.Millisecond || at.After(s.EndedAt) || s.EndedAt.After(s.CreatedAt.Add(time.Hour)) {
					t.Errorf("%s is %v after the session began", name, at.Sub(s.CreatedAt))
				}
			}
		})
	}
}

func endsByDeletion(t *testing.T) *app {
	needsNotifications(t)
	a := newApp(t, shared(t), redistest.Prefix()).start()
	a.listens()
	id, _ := a.begin()
	a.del(a.liveKey(id))
	return a
}

func endsByEviction(t *testing.T) *app {
	a := newApp(t, onServer(t, startServer(t)), redistest.Prefix()).start()
	a.listens()
	a.begin()
	for _, set := range [][2]string{{"maxmemory-policy", "volatile-lru"}, {"maxmemory", "1mb"}} {
		if err := a.admin.ConfigSet(redistest.Within(t), set[0], set[1]).Err(); err != nil {
			t.Error(err)
		}
	}
	// Before each write Redis evicts keys; the write itself fails, as there are too few.
	redistest.Eventually(t, "Redis evicts the session", func() bool {
		a.admin.Set(redistest.Within(t), "x", "y", 0)
		return len(a.keys("live:*")) == 0
	})
	a.admin.ConfigSet(redistest.Within(t), "maxmemory", "0")
	return a
}

func endsWithoutItsRecord(t *testing.T) *app {
	a := newApp(t, shared(t), redistest.Prefix())
	id, _ := a.begin()
	a.del(a.key("session:" + id))
	a.del(a.liveKey(id))
	a.makeAllDue()
	return a
}

// A session that is used all the time ends exactly at its absolute timeout, on a real Redis
// and on the one of package embedded.
func TestAbsoluteTimeoutOfAUsedSession(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]deployment{"real": shared(t), "in process": inProcess(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const idle, absolute = 2 * time.Second, 3 * time.Second
			a := newAppWithoutHooks(t, d, redistest.Prefix(), lifecycle.WithIdleTimeout(idle), lifecycle.WithAbsoluteTimeout(absolute))
			a.reportEnds()
			const n = 10
			visitors := make(map[string]*visitor)
			for range n {
				id, v := a.begin()
				visitors[id] = v
			}
			for len(visitors) > 0 { // each session is used until it has ended
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

// After a FLUSHALL the sessions are lost. Their closures run on the instances that have
// registered them, and new sessions work.
func TestClosuresOfLostSessions(t *testing.T) {
	t.Parallel()
	a := newApp(t, onServer(t, startServer(t)), redistest.Prefix())
	ran := make(chan *lifecycle.Session, 2)
	a.hold(func(_ context.Context, s *lifecycle.Session) error {
		ran <- s
		return nil
	})
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	a.ok(v, "/hold")
	if err := a.admin.FlushAll(redistest.Within(t)).Err(); err != nil {
		t.Fatal(err)
	}
	if s := redistest.Receive(t, ran); s.ID != id || s.Reason != lifecycle.ReasonLost || s.Get("user") != "alice" {
		t.Errorf("closure: %s, %s, %v", s.ID, s.Reason, s.Values())
	}
	next, _ := a.begin()
	a.end(next, "")
	if s := a.nextDestroyed(); s.ID != next {
		t.Errorf("ended: %s", s.ID)
	}
	a.shutdown()
	if len(ran) > 0 {
		t.Error("the closure ran twice")
	}
}
