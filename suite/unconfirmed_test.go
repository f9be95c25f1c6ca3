package suite_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// Until the cookie has come back a session lives for a short time only, whatever the first
// request has saved; then for its idle timeout. The request that confirms it takes one
// round trip as any other.
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
			a := newApp(t, d, prefix(), c.opts...)
			left := func(id string) time.Duration {
				t.Helper()
				ttl := a.admin.PTTL(within(t), a.liveKey(id)).Val()
				due := a.admin.ZScore(within(t), a.key("due"), id).Val()
				if d := time.Until(time.UnixMilli(int64(due))); d > ttl+time.Second {
					t.Errorf("due in %v, time to live %v", d, ttl)
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
				t.Errorf("unconfirmed, %v left", got)
			}
			if got := a.ok(v, "/"); got != id {
				t.Errorf("session %q", got)
			}
			if got := left(id); got > c.then || got < c.then-10*time.Second {
				t.Errorf("confirmed, %v left", got)
			}
			if got := a.ok(v, "/get?key=user"); got != "bob" {
				t.Errorf("user %q", got)
			}
		})
	}
}

// A first request that goes on for long, and saves, does not make that time longer.
func TestUnconfirmedTimeoutOfALongRequest(t *testing.T) {
	t.Parallel()
	const first = 3 * time.Second
	a := newApp(t, shared(t), prefix(), lifecycle.WithUnconfirmedTimeout(first))
	a.get("/long", func(c *lifecycle.Context) {
		s := c.Session()
		eventually(t, "a while is over", func() bool { return time.Since(s.CreatedAt) > first/2 })
		if err := save(c, "k", "v"); err != nil && !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Error(err)
		}
		left := time.Duration(0) // if it has ended already
		for _, live := range a.keys("live:" + s.ID + ":*") {
			left = a.admin.PTTL(within(t), live).Val()
		}
		if end := time.Now().Add(left); end.After(s.CreatedAt.Add(first + 500*time.Millisecond)) {
			t.Errorf("it lives until %v after its beginning", end.Sub(s.CreatedAt))
		}
	})
	a.ok(new(visitor), "/long")
}

// Sessions of clients that never send their cookie end, and leave nothing behind.
func TestUnconfirmedSessionsEnd(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix(), lifecycle.WithUnconfirmedTimeout(time.Second)).start()
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
		t.Errorf("the confirmed one: session %q", got)
	}
	eventually(t, "nothing is left", func() bool {
		return len(a.keys("session:*")) == 1 && len(a.keys("live:*")) == 1 && len(a.keys("end:*")) == 0
	})
}

// A request that WithSkipper names has no session, asks Redis nothing, and its response
// may be cached.
func TestSkipper(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix(), lifecycle.WithSkipper(func(c *gin.Context) bool {
		return strings.HasPrefix(c.Request.URL.Path, "/skip/")
	}))
	sent := watch(a.rdb)
	for what, do := range map[string]func(c *lifecycle.Context) error{
		"nothing": func(*lifecycle.Context) error { return nil },
		"save":    func(c *lifecycle.Context) error { return save(c, "k", "v") },
		"destroy": func(c *lifecycle.Context) error { return c.DestroySession() },
		"hook":    func(c *lifecycle.Context) error { return c.OnSessionDestroyed(nothing) },
		"logout": func(c *lifecycle.Context) error {
			s := sessions.Default(c.Context)
			s.Options(sessions.Options{MaxAge: -1})
			return s.Save()
		},
	} {
		a.get("/skip/"+what, func(c *lifecycle.Context) {
			if c.Session() != nil || sessions.Default(c.Context).Get("k") != nil {
				t.Error("there is a session")
			}
			err := do(c)
			if what != "nothing" && !errors.Is(err, lifecycle.ErrSessionWithheld) {
				t.Errorf("%s: %v", what, err)
			}
			c.Header("Cache-Control", "public")
			c.String(http.StatusOK, "page")
		})
		_, known := a.begin()
		asked := len(sent.of("getex"))
		for _, v := range []*visitor{{}, known} {
			w := a.visit(v, "/skip/"+what)
			if h := w.Header(); w.Code != http.StatusOK || len(h.Values("Set-Cookie")) != 0 || h.Get("Vary") != "" || h.Get("Cache-Control") != "public" {
				t.Errorf("%s: %d %v", what, w.Code, h)
			}
		}
		if len(sent.of("getex")) != asked {
			t.Errorf("%s: Redis was asked", what)
		}
	}
	// With gin-contrib's middleware in front too.
	r := gin.New()
	r.Use(sessions.Sessions("session", a.store), a.m.Middleware())
	r.GET("/skip/page", func(c *gin.Context) {
		if sessions.Default(c).ID() != "" {
			t.Error("there is a session")
		}
	})
	id, known := a.begin()
	// Where something in between has replaced the request, or read the session.
	between := gin.New()
	between.Use(sessions.Sessions("session", a.store), func(c *gin.Context) {
		c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), t, true))
		if c.Query("read") != "" && sessions.Default(c).ID() != id {
			t.Error("there is no session in front of the middleware")
		}
	}, a.m.Middleware())
	between.GET("/skip/page", func(c *gin.Context) {
		if sessions.Default(c).ID() != "" || lifecycle.From(c).Session() != nil {
			t.Error("there is a session")
		}
	})
	for _, query := range []string{"", "?read=1"} {
		if w := (&app{t: t, router: between}).visit(&visitor{known.cookie}, "/skip/page"+query); w.Code != http.StatusOK || len(w.Header()) != 0 {
			t.Errorf("%d, %v", w.Code, w.Header())
		}
	}
	asked := len(sent.of("getex"))
	if w := (&app{t: t, router: r}).visit(known, "/skip/page"); w.Code != http.StatusOK || len(sent.of("getex")) != asked {
		t.Errorf("%d, Redis was asked %d times", w.Code, len(sent.of("getex"))-asked)
	}
}

// What is kept of a request is bounded, by lines and in sum, and the application decides
// what of it.
func TestRequestSummary(t *testing.T) {
	t.Parallel()
	d := shared(t)
	names := []string{"X-Tag"}
	for i := range 40 {
		names = append(names, "X-"+string(rune('A'+i%26))+strings.Repeat("a", i))
	}
	a := newApp(t, d, prefix(), lifecycle.WithRequestHeaders(names...))
	r := httptest.NewRequest(http.MethodGet, "/?"+strings.Repeat("q", 100_000), nil)
	r.Header.Set("User-Agent", strings.Repeat("u", 100_000))
	r.Host = strings.Repeat("h", 10_000)
	r.Header["X-Tag"] = slices.Repeat([]string{strings.Repeat("t", 800)}, 1000)
	for _, n := range names[1:] {
		r.Header[http.CanonicalHeaderKey(n)] = slices.Repeat([]string{""}, 100)
	}
	w := httptest.NewRecorder()
	a.router.ServeHTTP(w, r)
	s := a.nextCreated()
	lines, sum := 0, 0
	for k, vs := range s.Request.Header {
		for _, v := range vs {
			lines++
			sum += len(k) + len(v)
		}
	}
	if len(s.Request.URI) != 2048 || len(s.Request.UserAgent) != 512 || len(s.Request.Host) != 512 || lines == 0 || lines > 32 || sum > 2048 {
		t.Errorf("URI %d, user agent %d, host %d, %d lines of %d bytes", len(s.Request.URI), len(s.Request.UserAgent), len(s.Request.Host), lines, sum)
	}
	if n := a.admin.StrLen(within(t), a.key("session:*")).Val(); n > 6000 {
		t.Errorf("the record has %d bytes", n)
	}

	b := newApp(t, d, prefix(), lifecycle.WithRequestHeaders("X-Tag"), lifecycle.WithRequestSummary(func(r *lifecycle.Request) {
		r.URI, _, _ = strings.Cut(r.URI, "?")
		r.ClientIP, r.UserAgent = "", ""
		r.Header.Del("X-Tag")
	}))
	b.visit(new(visitor), "/?token=reset-secret", "User-Agent", "agent-secret", "X-Tag", "tag-secret")
	s = b.nextCreated()
	if got := s.Request; got.URI != "/" || got.ClientIP != "" || got.UserAgent != "" || len(got.Header) != 0 || got.Method != http.MethodGet {
		t.Errorf("kept: %+v", got)
	}
	if rec := b.admin.Get(within(t), b.key("session:*")).Val(); strings.Contains(rec, "secret") || strings.Contains(rec, "192.0.2.1") {
		t.Errorf("the record has what was left out: %q", rec)
	}
	if err := b.m.Destroy(context.Background(), s.ID, ""); err != nil {
		t.Error(err)
	}
	b.nextDestroyed()
	eventually(t, "it is forgotten", func() bool { return len(b.keys("session:*")) == 0 })
	// A bare store's sessions too.
	g := gin.New()
	g.Use(sessions.Sessions("session", b.store))
	g.GET("/", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Set("k", "v")
		if err := s.Save(); err != nil {
			t.Error(err)
		}
	})
	v := new(visitor)
	(&app{t: t, router: g}).visit(v, "/?token=reset-secret")
	if rec := b.admin.Get(within(t), b.key("session:*")).Val(); strings.Contains(rec, "secret") {
		t.Errorf("the record has what was left out: %q", rec)
	}
}
