package suite_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A session has timeouts of its own, from then on and through later saves.
func TestSetTimeouts(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithIdleTimeout(30*time.Minute), lifecycle.WithAbsoluteTimeout(24*time.Hour))
	week := 7 * 24 * time.Hour
	var idle, absolute time.Duration
	a.get("/timeouts", func(c *lifecycle.Context) {
		c.Values().Set("unsaved", "yes")
		a.answer(c, c.SetTimeouts(idle, absolute))
	})
	a.ages()
	set := func(v *visitor, i, abs time.Duration) {
		idle, absolute = i, abs
		a.ok(v, "/timeouts")
	}
	within := func(id string, least, most time.Duration, when string) {
		t.Helper()
		if left := a.left(id); left < least || left > most {
			t.Errorf("%s: the session lives for %v, want %v to %v", when, left, least, most)
		}
	}
	id, v := a.begin()
	a.ok(v, "/")
	old := v.cookie
	set(v, week, 4*week)
	within(id, week-time.Minute, week, "remembered")
	if v.cookie == old {
		t.Error("the browser has not got the new token")
	}
	a.ok(v, "/set?user=alice")
	a.ok(v, "/rotate")
	a.ok(v, "/")
	within(id, week-time.Minute, week, "after a save, a rotation and a request")
	if a.values(id)["unsaved"] != nil {
		t.Error("SetTimeouts has saved a value")
	}
	if got := a.ok(&visitor{old}, "/"); got == id {
		t.Error("the token from before the rotation is good")
	}
	s, err := a.m.Get(redistest.Within(t), id)
	if err != nil || time.Until(s.ExpiresAt) < week-time.Minute {
		t.Errorf("the session ends at %v, %v", s.ExpiresAt, err)
	}
	set(v, week, 2*time.Hour) // the absolute timeout counts from now
	within(id, time.Hour, 2*time.Hour, "from the login on")
	a.ok(v, "/set?user=bob")
	within(id, time.Hour, 2*time.Hour, "and after a save")
	set(v, 10*time.Minute, 0)
	within(id, 9*time.Minute, 10*time.Minute, "without an absolute timeout")
	a.ok(v, "/age?n=3600") // a MaxAge is an idle timeout too
	within(id, 59*time.Minute, time.Hour, "after a Save with another MaxAge")
	for _, bad := range [][2]time.Duration{{0, time.Hour}, {-1, 0}, {time.Hour, -1}, {time.Hour, time.Microsecond}, {1 << 62, 0}, {time.Hour, 1 << 62}} {
		idle, absolute = bad[0], bad[1]
		if w := a.visit(v, "/timeouts"); w.Code != http.StatusConflict {
			t.Errorf("SetTimeouts(%v, %v): %d", idle, absolute, w.Code)
		}
	}
}

// The response has begun: the next one brings the new token.
func TestSetTimeoutsLate(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.get("/late", func(c *lifecycle.Context) {
		c.String(http.StatusOK, idOf(c))
		if err := c.SetTimeouts(2*time.Hour, 0); err != nil {
			t.Error(err)
		}
	})
	id, v := a.begin()
	a.ok(v, "/late")
	if got := a.ok(v, "/"); got != id {
		t.Errorf("the session is %s, want %s", got, id)
	}
	if left := a.left(id); left < time.Hour {
		t.Errorf("the session lives for %v, want two hours", left)
	}
}

// Of two requests at once one sets timeouts, and the other one saves. Both are kept.
func TestSetTimeoutsBesideASave(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithAbsoluteTimeout(0))
	set := func(c *lifecycle.Context) error { return c.SetTimeouts(5*time.Hour, 0) }
	saved := func(c *lifecycle.Context) error { return save(c, "slow", "yes") }
	for name, both := range map[string][2]func(c *lifecycle.Context) error{"saved late": {saved, set}, "set late": {set, saved}} {
		b := a.with(a.m.Middleware())
		m := b.meet(func(*lifecycle.Context) {}, both[0])
		b.get("/fast", func(c *lifecycle.Context) { b.answer(c, both[1](c)) })
		id, v := a.begin()
		if status, body := m.during(v, func() { b.ok(v, "/fast") }); status != http.StatusOK {
			t.Errorf("%s: %d %s", name, status, body)
		}
		if left := a.left(id); left < 4*time.Hour || a.values(id)["slow"] != "yes" {
			t.Errorf("%s: the session lives for %v and has %v", name, left, a.values(id))
		}
	}
}
