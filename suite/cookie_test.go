package suite_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
)

// A cookie that names no live session exactly never becomes one.
func TestBadCookies(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	id, v := a.begin()
	value := strings.TrimPrefix(v.cookie, "session=")
	_, secret, _ := strings.Cut(value, ".")
	other := strings.Repeat("B", 22-1) + "A"
	gone, dead := a.begin()
	if err := a.m.Destroy(within(t), gone, ""); err != nil {
		t.Fatal(err)
	}
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
		"another secret, well formed": "session=" + forged(t, a, v, func(b []byte) { b[0]++ }),
		"another name's mark":         "session=" + forged(t, a, v, func(b []byte) { b[atMark]++ }),
		"quoted newline":              "session=\"" + id[:21] + "\n." + secret + "\"",
	} {
		got := a.ok(&visitor{cookie}, "/")
		if got == "" || got == id || got == other || got == gone {
			t.Errorf("%s: session %q", name, got)
		}
	}
	if got := a.ok(v, "/"); got != id {
		t.Errorf("the good cookie: session %q", got)
	}
	for _, k := range a.keys("*") {
		if strings.ContainsAny(k[len(a.prefix)+4:], "*{}") || strings.Contains(k, other) {
			t.Errorf("key %q", k)
		}
	}
}

func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts  []lifecycle.Option
		store *sessions.Options
		url   string
		want  string // behind the value
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
			a := newApp(t, shared(t), prefix(), c.opts...)
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

// One answer sets one cookie, however often the session is saved.
func TestOneSetCookie(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
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
		t.Errorf("cookies: %v", lines)
	}
}

// MaxAge of one session: cookie and idle timeout, kept over requests, re-sent
// with each, and taken back.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	options := func(path string, o sessions.Options) {
		a.get(path, func(c *lifecycle.Context) {
			s := sessions.Default(c.Context)
			s.Options(o)
			a.answer(c, s.Save())
		})
	}
	options("/remember", sessions.Options{Path: "/", MaxAge: 3600, HttpOnly: true})
	options("/forget", sessions.Options{Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	ttl := func(id string) time.Duration {
		left, err := a.admin.PTTL(within(t), a.liveKey(id)).Result()
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	age := func(w *httptest.ResponseRecorder) int {
		for _, c := range w.Result().Cookies() {
			if c.Name == "session" {
				return c.MaxAge
			}
		}
		return -1
	}
	id, v := a.begin()
	if d := ttl(id); d > 30*time.Minute {
		t.Errorf("time to live at first: %v", d)
	}
	if w := a.visit(v, "/"); age(w) != -1 {
		t.Error("a browser-session cookie is sent again without need")
	}
	old := *v
	if w := a.visit(v, "/remember"); age(w) != 3600 {
		t.Errorf("cookie: %v", w.Header())
	}
	if d := ttl(id); d <= 30*time.Minute || d > time.Hour {
		t.Errorf("time to live when remembered: %v", d)
	}
	if w := a.visit(v, "/"); age(w) != -1 {
		t.Error("a cookie is sent again that is new")
	}
	for _, url := range []string{"/", "/set?user=alice", "/"} {
		aged := &visitor{"session=" + forged(t, a, v, func(b []byte) { put32(b[atSent:], time.Now().Add(-time.Minute).Unix()) })}
		if w := a.visit(aged, url); age(w) != 3600 {
			t.Errorf("%s does not renew the cookie: %v", url, w.Header())
		}
		v = aged
	}
	// The cookie from before is the same session, with the record's timeouts.
	if got := a.ok(&old, "/"); got != id {
		t.Errorf("the older cookie: session %q", got)
	}
	if d := ttl(id); d <= 30*time.Minute {
		t.Errorf("the older cookie cut the time to live to %v", d)
	}
	if w := a.visit(v, "/forget"); age(w) != 0 {
		t.Errorf("cookie: %v", w.Header())
	}
	if d := ttl(id); d > 30*time.Minute {
		t.Errorf("time to live when forgotten: %v", d)
	}
	if score := a.admin.ZScore(within(t), a.key("due"), id).Val(); time.Until(time.UnixMilli(int64(score))) > 31*time.Minute {
		t.Error("the due entry is no lower bound")
	}
}

// A Save under other timeouts than the session began with gives the browser the token in
// force, so that its next request takes one round trip again.
func TestSaveSendsAChangedToken(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
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
		t.Errorf("the session was read %d times", asked)
	}
}

// A cookie that moves to another path takes the old one away, which would
// otherwise come along with it and make it worthless.
func TestChangedPath(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	a.get("/app/move", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		s.Options(sessions.Options{Path: "/app"})
		if err := s.Save(); err != nil {
			t.Error(err)
		}
		a.answer(c, c.RotateSession())
	})
	a.get("/app/id", func(c *lifecycle.Context) { c.String(http.StatusOK, idOf(c)) })
	server := httptest.NewServer(a.router)
	defer server.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	get := func(path string) string {
		resp, err := browser.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	id := get("/")
	for _, path := range []string{"/app/move", "/app/id", "/app/id", "/app/move", "/app/id"} {
		if got := get(path); got != id {
			t.Errorf("%s: session %q, was %q", path, got, id)
		}
	}
}

// A MaxAge without sense is cut, and harms nothing.
func TestHugeMaxAge(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix(), lifecycle.WithAbsoluteTimeout(0))
	ages := []int{math.MaxInt, math.MaxInt32 + 1, 100 * 365 * 24 * 3600}
	a.get("/age", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		n, _ := strconv.Atoi(c.Query("n"))
		s.Options(sessions.Options{Path: "/", MaxAge: ages[n]})
		a.answer(c, s.Save())
	})
	for n := range ages {
		id, v := a.begin()
		a.ok(v, fmt.Sprintf("/age?n=%d", n))
		if got := a.ok(v, "/"); got != id {
			t.Errorf("MaxAge %d: session %q", ages[n], got)
		}
		if d := a.admin.PTTL(within(t), a.liveKey(id)).Val(); d < 9*365*24*time.Hour {
			t.Errorf("MaxAge %d: time to live %v", ages[n], d)
		}
	}
}

func TestRotateAfterTheBody(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
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
