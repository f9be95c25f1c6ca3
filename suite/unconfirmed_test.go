package suite_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Until the browser has sent the cookie back, a session lives only for the unconfirmed
// timeout, whatever the first request has saved. Afterwards it lives for its idle timeout.
func TestUnconfirmedTimeout(t *testing.T) {
	t.Parallel()
	d := shared(t)
	for name, c := range map[string]struct {
		opts  []lifecycle.Option
		first time.Duration
		then  time.Duration
	}{
		"default":                 {nil, 5 * time.Minute, 30 * time.Minute},
		"off":                     {[]lifecycle.Option{lifecycle.WithUnconfirmedTimeout(0)}, 30 * time.Minute, 30 * time.Minute},
		"a minute":                {[]lifecycle.Option{lifecycle.WithUnconfirmedTimeout(time.Minute)}, time.Minute, 30 * time.Minute},
		"longer than idle":        {[]lifecycle.Option{lifecycle.WithIdleTimeout(time.Minute), lifecycle.WithUnconfirmedTimeout(time.Hour)}, time.Minute, time.Minute},
		"idle shorter than 5 min": {[]lifecycle.Option{lifecycle.WithIdleTimeout(time.Minute)}, time.Minute, time.Minute},
		"lazy":                    {[]lifecycle.Option{lifecycle.WithLazyCreation()}, 5 * time.Minute, 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, d, redistest.Prefix(), c.opts...)
			left := func(id string) time.Duration {
				t.Helper()
				ttl := a.admin.PTTL(redistest.Within(t), a.liveKey(id)).Val()
				due := a.admin.ZScore(redistest.Within(t), a.key("due"), id).Val()
				if d := time.Until(time.UnixMilli(int64(due))); d > ttl+time.Second {
					t.Errorf("the session is checked in %v, but its time to live is %v", d, ttl)
				}
				return ttl
			}
			a.get("/twice", func(c *lifecycle.Context) {
				err := errors.Join(save(c, "user", "alice"), c.RotateSession(), save(c, "user", "bob"))
				if s := c.Session(); err == nil && s.ExpiresAt.After(time.Now().Add(left(s.ID)+time.Second)) {
					t.Errorf("ExpiresAt %v", s.ExpiresAt)
				}
				a.answer(c, err)
			})
			v := new(visitor)
			url := "/twice"
			if name == "lazy" {
				url = "/set?user=bob"
			}
			id := a.ok(v, url)
			if got := left(id); got > c.first || got < c.first-10*time.Second {
				t.Errorf("after the first request: %v left, want %v", got, c.first)
			}
			if got := a.ok(v, "/"); got != id {
				t.Errorf("session %q, want %s", got, id)
			}
			if got := left(id); got > c.then || got < c.then-10*time.Second {
				t.Errorf("after the second request: %v left, want %v", got, c.then)
			}
			if got := a.ok(v, "/get?key=user"); got != "bob" {
				t.Errorf("user %q", got)
			}
		})
	}
}

// A first request that takes a while, and saves, does not prolong the unconfirmed timeout. (One
// that takes longer than a third of it keeps the session alive.)
func TestUnconfirmedTimeoutOfALongRequest(t *testing.T) {
	t.Parallel()
	const first = 9 * time.Second
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithUnconfirmedTimeout(first))
	a.get("/long", func(c *lifecycle.Context) {
		s := c.Session()
		redistest.Eventually(t, "a while has passed", func() bool { return time.Since(s.CreatedAt) > first/12 })
		if err := save(c, "k", "v"); err != nil && !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Error(err)
		}
		left := time.Duration(0) // if the session has ended already
		for _, live := range a.keys("live:" + s.ID + ":*") {
			left = a.admin.PTTL(redistest.Within(t), live).Val()
		}
		if end := time.Now().Add(left); end.After(s.CreatedAt.Add(first + 500*time.Millisecond)) {
			t.Errorf("the session lives until %v after its beginning", end.Sub(s.CreatedAt))
		}
	})
	a.ok(new(visitor), "/long")
}

// Sessions of clients that never send the cookie back end, and nothing of them is left.
func TestUnconfirmedSessionsEnd(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithUnconfirmedTimeout(time.Second)).start()
	id, v := a.begin()
	a.ok(v, "/")
	const n = 300
	gone := make(map[string]bool)
	for range n {
		other, _ := a.begin()
		gone[other] = true
	}
	for len(gone) > 0 {
		s := a.nextDestroyed()
		if !gone[s.ID] || s.Reason != lifecycle.ReasonIdleTimeout || s.LastSeenAt.Before(s.CreatedAt) || s.EndedAt.Sub(s.CreatedAt) > 2*time.Second {
			t.Errorf("ended: %+v", s)
		}
		delete(gone, s.ID)
	}
	if got := a.ok(v, "/"); got != id {
		t.Errorf("the visitor who sends the cookie: session %q, want %s", got, id)
	}
	redistest.Eventually(t, "only the keys of one session are left", func() bool {
		return len(a.keys("session:*")) == 1 && len(a.keys("live:*")) == 1 && len(a.keys("end:*")) == 0
	})
}

// The client has sent its cookie back while the request that began the session still sends its
// response. A Save of that request does not make the session end earlier.
func TestSaveAfterTheCookieCameBack(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithIdleTimeout(time.Hour), lifecycle.WithUnconfirmedTimeout(time.Minute))
	a.get("/stream", func(c *lifecycle.Context) {
		c.Writer.Flush()
		line, _, _ := strings.Cut(c.Writer.Header().Get("Set-Cookie"), ";")
		a.ok(&visitor{line}, "/")
		if err := save(c, "k", "v"); err != nil {
			t.Error(err)
		}
		c.String(http.StatusOK, idOf(c))
	})
	id := a.ok(new(visitor), "/stream")
	if left := a.left(id); left < 59*time.Minute || a.values(id)["k"] != "v" {
		t.Errorf("the session lives for %v with %v, want an hour", left, a.values(id))
	}
}
