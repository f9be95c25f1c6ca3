package suite_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A cookie that is not exactly the cookie of a live session gives a new session: not that
// of the cookie's ID, and not one with an ID that the visitor has chosen.
func TestBadCookies(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	id, v := a.begin()
	value := strings.TrimPrefix(v.cookie, "session=")
	_, secret, _ := strings.Cut(value, ".")
	other := strings.Repeat("B", 22-1) + "A"
	gone, dead := a.begin()
	a.end(gone, "")
	a.nextDestroyed()
	for name, cookie := range map[string]string{
		"empty":                       "session=",
		"ID only":                     "session=" + id,
		"no secret":                   "session=" + id + ".",
		"another ID":                  "session=" + other + "." + secret,
		"another secret":              "session=" + id + "." + strings.Repeat("A", len(secret)),
		"ended":                       dead.cookie,
		"too long":                    "session=" + value + "A",
		"oversized":                   "session=" + strings.Repeat("A", 100_000),
		"glob":                        "session=" + strings.Repeat("*", 22) + "." + secret,
		"key separator":               "session=" + strings.Repeat(":", 22) + "." + secret,
		"hash tag":                    "session={" + id[2:] + "}." + secret,
		"another secret, well formed": "session=" + forged(t, v, func(b []byte) { b[0]++ }),
		"another name's mark":         "session=" + forged(t, v, func(b []byte) { b[atMark]++ }),
		"quoted newline":              "session=\"" + id[:21] + "\n." + secret + "\"",
	} {
		got := a.ok(&visitor{cookie}, "/")
		if got == "" || got == id || got == other || got == gone {
			t.Errorf("%s: session %q", name, got)
		}
	}
	if got := a.ok(v, "/"); got != id {
		t.Errorf("the good cookie: session %q, want %s", got, id)
	}
	for _, k := range a.keys("*") {
		if strings.ContainsAny(k[len(a.prefix)+4:], "*{}") || strings.Contains(k, other) {
			t.Errorf("a cookie has become part of the key %q", k)
		}
	}
}

func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts  []lifecycle.Option
		store *sessions.Options
		url   string
		want  string // the attributes, after the value
	}{
		"default":          {url: "/", want: "; Path=/; HttpOnly; SameSite=Lax"},
		"over TLS":         {url: "https://example.com/", want: "; Path=/; HttpOnly; Secure; SameSite=Lax"},
		"always secure":    {opts: []lifecycle.Option{lifecycle.WithSecureCookie(lifecycle.SecureAlways)}, url: "/", want: "; Path=/; HttpOnly; Secure; SameSite=Lax"},
		"never secure":     {opts: []lifecycle.Option{lifecycle.WithSecureCookie(lifecycle.SecureNever)}, url: "https://example.com/", want: "; Path=/; HttpOnly; SameSite=Lax"},
		"store options":    {store: &sessions.Options{Path: "/app", Domain: "example.com", Secure: true, SameSite: http.SameSiteStrictMode}, url: "/", want: "; Domain=example.com; SameSite=Strict; Path=/app; HttpOnly; Secure"},
		"nothing said":     {store: &sessions.Options{}, url: "/", want: "; Path=/; HttpOnly; SameSite=Lax"},
		"Path and MaxAge":  {store: &sessions.Options{Path: "/", MaxAge: 60}, url: "/", want: "; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"},
		"no absolute path": {store: &sessions.Options{Path: "app"}, url: "/", want: "; Path=/; HttpOnly; SameSite=Lax"},
		"None":             {store: &sessions.Options{SameSite: http.SameSiteNoneMode}, url: "/", want: "; SameSite=None; Path=/; HttpOnly; Secure"},
		"spelled Domain":   {store: &sessions.Options{Domain: ".Example.COM"}, url: "/", want: "; Domain=example.com; Path=/; HttpOnly; SameSite=Lax"},
		"no Domain":        {store: &sessions.Options{Domain: "exa mple"}, url: "/", want: "; Path=/; HttpOnly; SameSite=Lax"},
		"for scripts":      {opts: []lifecycle.Option{lifecycle.WithScriptAccess()}, store: &sessions.Options{}, url: "/", want: "; Path=/; SameSite=Lax"},
		"not for scripts":  {opts: []lifecycle.Option{lifecycle.WithScriptAccess()}, url: "/", want: "; Path=/; SameSite=Lax"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), redistest.Prefix(), c.opts...)
			if c.store != nil {
				a.store.Options(*c.store)
			}
			w := a.visit(new(visitor), c.url)
			lines := w.Header().Values("Set-Cookie")
			if len(lines) != 1 {
				t.Fatalf("cookies: %v", lines)
			}
			if _, attributes, _ := strings.Cut(lines[0], ";"); ";"+attributes != c.want {
				t.Errorf("cookie: %s", lines[0])
			}
		})
	}
}

// A response sets one cookie, however often the handler saves the session.
func TestOneSetCookie(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.get("/often", func(c *lifecycle.Context) {
		for i := range 3 {
			s := sessions.Default(c.Context)
			s.Set("n", i)
			if err := s.Save(); err != nil {
				t.Error(err)
			}
		}
		if err := c.RotateSession(); err != nil {
			t.Error(err)
		}
	})
	w := a.visit(new(visitor), "/often")
	if lines := w.Header().Values("Set-Cookie"); len(lines) != 1 {
		t.Errorf("cookies: %v, want one", lines)
	}
}

// The MaxAge of one session sets the cookie's age and the idle timeout. It counts for later
// requests too, until a Save takes it back. Requests with an old cookie get a new one.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	for path, o := range map[string]sessions.Options{
		"/remember": {Path: "/", MaxAge: 3600, HttpOnly: true},
		"/forget":   {Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode},
	} {
		a.get(path, func(c *lifecycle.Context) { a.answer(c, saveWith(c, o)) })
	}
	id, v := a.begin()
	if d := a.left(id); d > 30*time.Minute {
		t.Errorf("time to live at first: %v", d)
	}
	if w := a.visit(v, "/"); cookieAge(w) != -1 {
		t.Error("a cookie without MaxAge was sent again")
	}
	old := *v
	if w := a.visit(v, "/remember"); cookieAge(w) != 3600 {
		t.Errorf("cookie: %v", w.Header())
	}
	if d := a.left(id); d <= 30*time.Minute || d > time.Hour {
		t.Errorf("time to live when remembered: %v", d)
	}
	if w := a.visit(v, "/"); cookieAge(w) != -1 {
		t.Error("a new cookie was sent again")
	}
	for _, url := range []string{"/", "/set?user=alice", "/"} {
		aged := &visitor{"session=" + forged(t, v, func(b []byte) { put32(b[atSent:], time.Now().Add(-time.Minute).Unix()) })}
		if w := a.visit(aged, url); cookieAge(w) != 3600 {
			t.Errorf("%s does not renew an old cookie: %v", url, w.Header())
		}
		v = aged
	}
	// The cookie from before the change is still good, with the timeouts of the session.
	if got := a.ok(&old, "/"); got != id {
		t.Errorf("the cookie from before: session %q, want %s", got, id)
	}
	if d := a.left(id); d <= 30*time.Minute {
		t.Errorf("the cookie from before shortened the time to live to %v", d)
	}
	if w := a.visit(v, "/forget"); cookieAge(w) != 0 {
		t.Errorf("cookie: %v", w.Header())
	}
	if d := a.left(id); d > 30*time.Minute {
		t.Errorf("time to live when forgotten: %v", d)
	}
	if score := a.admin.ZScore(redistest.Within(t), a.key("due"), id).Val(); time.Until(time.UnixMilli(int64(score))) > 31*time.Minute {
		t.Error("the session is checked later than its deadline")
	}
}

// cookieAge returns the MaxAge of the session's cookie, -1 if the response sets none.
func cookieAge(w *httptest.ResponseRecorder) int {
	for _, c := range w.Result().Cookies() {
		if c.Name == "session" {
			return c.MaxAge
		}
	}
	return -1
}

// A Save on an instance with other timeouts changes the token. The response sends the new
// token to the browser, so that the next request takes one round trip again.
func TestSaveSendsAChangedToken(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	long := newApp(t, d, p)
	short := newApp(t, d, p, lifecycle.WithIdleTimeout(10*time.Minute))
	id, v := long.begin()
	old := v.cookie
	if got := short.ok(v, "/set?a=b"); got != id || v.cookie == old {
		t.Errorf("session %q, cookie %s", got, v.cookie)
	}
	sent := watch(short.rdb)
	if got := short.ok(v, "/"); got != id {
		t.Errorf("session %q", got)
	}
	asked := 0
	for _, cmd := range sent.of("getex") {
		if strings.Contains(cmd, id) {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("the next request read the session %d times, want once", asked)
	}
}

// If the cookie moves to another path, the library removes the old cookie. Otherwise the
// browser would send both, and the visitor could lose the session.
func TestChangedPath(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.get("/app/move", func(c *lifecycle.Context) {
		a.answer(c, errors.Join(saveWith(c, sessions.Options{Path: "/app"}), c.RotateSession()))
	})
	a.get("/app/id", func(c *lifecycle.Context) { c.String(http.StatusOK, idOf(c)) })
	b := newBrowser(t, a.serve())
	id := b.ok("/")
	for _, path := range []string{"/app/move", "/app/id", "/app/id", "/app/move", "/app/id"} {
		if got := b.ok(path); got != id {
			t.Errorf("%s: session %q, want %q", path, got, id)
		}
	}
}

// The library cuts a MaxAge that is too large to the longest time that it supports.
func TestHugeMaxAge(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithAbsoluteTimeout(0))
	ages := []int{math.MaxInt, math.MaxInt32 + 1, 100 * 365 * 24 * 3600}
	a.get("/age", func(c *lifecycle.Context) {
		n, _ := strconv.Atoi(c.Query("n"))
		a.answer(c, saveWith(c, sessions.Options{Path: "/", MaxAge: ages[n]}))
	})
	for n := range ages {
		id, v := a.begin()
		a.ok(v, fmt.Sprintf("/age?n=%d", n))
		if got := a.ok(v, "/"); got != id {
			t.Errorf("MaxAge %d: session %q", ages[n], got)
		}
		if d := a.left(id); d < 9*365*24*time.Hour {
			t.Errorf("MaxAge %d: time to live %v", ages[n], d)
		}
	}
}

// A rotation after the response has begun fails, and the old cookie stays good.
func TestRotateAfterTheBody(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.get("/late", func(c *lifecycle.Context) {
		c.String(http.StatusOK, "begun")
		if err := c.RotateSession(); !errors.Is(err, lifecycle.ErrHeadersWritten) {
			t.Errorf("rotate: %v", err)
		}
	})
	id, v := a.begin()
	a.ok(v, "/late")
	if got := a.ok(v, "/"); got != id {
		t.Errorf("session %q", got)
	}
}
