package suite_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A cookie whose name begins with __Host- or __Secure- is always Secure. The library
// refuses such a name with Options for which browsers would refuse the cookie.
func TestPrefixedNames(t *testing.T) {
	t.Parallel()
	rdb := shared(t).client(t, redistest.Prefix())
	secure, never := lifecycle.WithSecureCookie(lifecycle.SecureAlways), lifecycle.WithSecureCookie(lifecycle.SecureNever)
	store := func(opts ...lifecycle.Option) *lifecycle.Store {
		t.Helper()
		s, err := lifecycle.NewStore(rdb, append(opts, lifecycle.WithPrefix(redistest.Prefix()))...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, name := range []string{"__Host-id", "__host-id", "__Secure-id", "__SECURE-id"} {
		if _, err := lifecycle.NewStore(rdb, lifecycle.WithSessionName(name), never); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("NewStore with %s and without Secure: %v", name, err)
		}
		if _, err := lifecycle.New(store(never), lifecycle.WithSessionName(name)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("New with %s and without Secure: %v", name, err)
		}
		s := store(secure, lifecycle.WithSessionName(name))
		for what, o := range map[string]sessions.Options{"Path": {Path: "/app"}, "Domain": {Domain: "example.com"}} {
			refused := func() (text any) {
				defer func() { text = recover() }()
				s.Options(o)
				return nil
			}()
			if host := strings.Contains(strings.ToLower(name), "host"); host != (refused != nil) {
				t.Errorf("Options of %s with a %s: %v", name, what, refused)
			}
			other := store(secure)
			other.Options(o)
			_, err := lifecycle.New(other, lifecycle.WithSessionName(name))
			if host := strings.Contains(strings.ToLower(name), "host"); host != (err != nil) {
				t.Errorf("New with %s and a %s: %v", name, what, err)
			}
		}
	}
}

// Where gin-contrib's middleware names the session, the library learns the name with the
// first request. It refuses this request, or the Options of the session.
func TestPrefixedNamesInRequests(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSecureCookie(lifecycle.SecureNever))
	r := a.with(sessions.Sessions("__Host-id", a.store), a.m.Middleware())
	r.get("/", func(*lifecycle.Context) {})
	if w := r.visit(new(visitor), "/"); w.Code != http.StatusInternalServerError {
		t.Errorf("a request: %d", w.Code)
	}

	strict := newApp(t, shared(t), redistest.Prefix())
	r = strict.with(sessions.Sessions("__Host-id", strict.store), func(c *gin.Context) {
		sessions.Default(c).Options(sessions.Options{Path: "/app"})
	}, strict.m.Middleware())
	r.get("/", func(*lifecycle.Context) {})
	if w := r.visit(new(visitor), "/"); w.Code != http.StatusInternalServerError {
		t.Errorf("Options that browsers refuse, in front of the middleware: %d %v", w.Code, w.Header())
	}

	b := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSessionName("__Host-id"))
	b.login("/elsewhere", false, sessions.Options{Path: "/app"})
	w := b.visit(new(visitor), "/")
	if line := w.Header().Get("Set-Cookie"); !strings.HasPrefix(line, "__Host-id=") || !strings.Contains(line, "; Secure") || !strings.Contains(line, "; Path=/;") {
		t.Errorf("cookie: %s", line)
	}
	if w := b.visit(new(visitor), "/elsewhere"); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "__Host-id") {
		t.Errorf("Options of one session: %d %s", w.Code, w.Body)
	}
}

// A handler in front of the middleware may set the Options of a session. They count for
// the session from its first request on, and harm no later request.
func TestOptionsInFrontOfTheMiddleware(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithAbsoluteTimeout(0))
	for name, o := range map[string]sessions.Options{
		"MaxAge": {MaxAge: 1000}, "too large a MaxAge": {MaxAge: 1 << 40}, "a removal": {MaxAge: -1}, "twelve years": {MaxAge: 12 * 365 * 24 * 3600},
		"a Domain": {Domain: ".Example.com"}, "None": {SameSite: http.SameSiteNoneMode},
	} {
		b := a.with(sessions.Sessions("session", a.store), func(c *gin.Context) {
			if c.Query("first") != "" {
				sessions.Default(c).Options(o)
			}
		}, a.m.Middleware())
		b.pages()
		b.get("/gone", func(c *lifecycle.Context) {
			sessions.Default(c.Context).Options(sessions.Options{MaxAge: -1}) // without a Save
			b.answer(c, c.RotateSession())
		})
		v := new(visitor)
		id := b.ok(v, "/?first=1")
		for _, page := range []string{"/", "/rotate", "/", "/gone", "/"} {
			w := b.visit(v, page)
			if got := w.Body.String(); got != id {
				t.Errorf("%s, %s: session %q, want %s", name, page, got, id)
			}
			for _, line := range w.Header().Values("Set-Cookie") {
				if !strings.Contains(line, "; Path=/;") {
					t.Errorf("%s, %s: %s", name, page, line)
				}
			}
		}
	}
}

// The functions of gorilla/sessions work behind the middleware, and their cookie is sent.
// A cookie that the application sets itself is sent too.
func TestGorillaBehindTheMiddleware(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithLazyCreation())
	gorilla := func(path string, session func(c *lifecycle.Context) *gsessions.Session) {
		a.router.Any(path, lifecycle.Handler(func(c *lifecycle.Context) {
			s := session(c)
			s.Values["k"] = "v"
			if err := a.store.Save(c.Request, c.Writer, s); err != nil {
				c.String(http.StatusConflict, err.Error())
				return
			}
			c.String(http.StatusOK, s.ID)
		}))
	}
	gorilla("/session", func(*lifecycle.Context) *gsessions.Session { return gsessions.NewSession(a.store, "session") })
	gorilla("/new", func(c *lifecycle.Context) *gsessions.Session {
		s, err := a.store.New(c.Request, "session")
		if err != nil {
			t.Error(err)
		}
		return s
	})
	a.get("/own", func(c *lifecycle.Context) {
		own, err := c.Cookie("session")
		if err != nil {
			t.Error(err)
		}
		c.SetCookie("session", own, 100, "/", "", false, true)
	})
	for _, path := range []string{"/session", "/new"} {
		b := newBrowser(t, a.serve())
		id := b.ok(path)
		if got := b.ok("/"); got != id {
			t.Errorf("%s: session %q, want %s", path, got, id)
		}
		if got := b.get("/own"); len(got.cookies) != 1 {
			t.Errorf("cookies that the application sets: %v, want one", got.cookies)
		}
		got := newBrowser(t, a.serve()).send(http.MethodPost, path, "Sec-Fetch-Site", "cross-site")
		if got.status != http.StatusConflict || len(got.cookies) != 0 {
			t.Errorf("%s, sent by a page of another site: %+v", path, got)
		}
	}
}

// SecureAuto believes a proxy that is connected by a Unix socket, because gin trusts it.
func TestSecureBehindAUnixSocket(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "@"
	r.Header.Set("X-Forwarded-Proto", "https")
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "/run/app.sock", Net: "unix"}))
	w := httptest.NewRecorder()
	a.router.ServeHTTP(w, r)
	if line := w.Header().Get("Set-Cookie"); !strings.Contains(line, "; Secure") {
		t.Errorf("cookie: %s", line)
	}
}

// SecureAuto believes a proxy that gin trusts, and no other client.
func TestSecureBehindAProxy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trusted []string
		proto   string
		want    bool
	}{
		"trusted, https":         {[]string{"192.0.2.1"}, "https", true},
		"trusted, http":          {[]string{"192.0.2.1"}, "http", false},
		"trusted, several":       {[]string{"192.0.2.0/24"}, "HTTPS, http", true},
		"trusted, says nothing":  {[]string{"192.0.2.1"}, "", false},
		"not trusted":            {[]string{"198.51.100.1"}, "https", false},
		"nobody is trusted":      {nil, "https", false},
		"trusted, http in front": {[]string{"192.0.2.1"}, "http, https", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), redistest.Prefix())
			if err := a.router.SetTrustedProxies(c.trusted); err != nil {
				t.Fatal(err)
			}
			w := a.visit(new(visitor), "/", "X-Forwarded-Proto", c.proto) // httptest sends it from 192.0.2.1
			if got := strings.Contains(w.Header().Get("Set-Cookie"), "; Secure"); got != c.want {
				t.Errorf("cookie: %s", w.Header().Get("Set-Cookie"))
			}
		})
	}
}

// The log says once if an Option does not do what it seems to do.
func TestOptionsAreMentioned(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithAbsoluteTimeout(24*time.Hour))
	week := sessions.Options{MaxAge: 7 * 24 * 3600, SameSite: http.SameSiteNoneMode}
	a.login("/login", false, week)
	for range 3 {
		a.ok(new(visitor), "/login")
	}
	a.store.Options(week)
	for _, text := range []string{logLongMaxAge, logInsecureNone} {
		if n := strings.Count(a.log.String(), text); n != 1 {
			t.Errorf("the log says %q %d times, want once", text, n)
		}
	}
	c := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithIdleTimeout(time.Hour), lifecycle.WithAbsoluteTimeout(time.Minute))
	if n := strings.Count(c.log.String(), logLongIdle); n != 1 {
		t.Errorf("the log says %q %d times, want once", logLongIdle, n)
	}
	b := newApp(t, shared(t), redistest.Prefix())
	b.store.Options(week)
	b.store.Options(sessions.Options{Path: "app", Domain: "no domain"})
	for _, text := range []string{logLongMaxAge, logInsecureNone, logRelativePath, logNoDomain} {
		if n := strings.Count(b.log.String(), text); n != 1 {
			t.Errorf("the log says %q %d times, want once", text, n)
		}
	}
}

// An application has one Options for all its sessions. The library does not change it.
func TestOptionsOfTheApplicationStayAsTheyAre(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	own := &gsessions.Options{Domain: ".Example.com", MaxAge: 60}
	a.get("/own", func(c *lifecycle.Context) {
		g, err := a.store.Get(c.Request, "session")
		if err != nil {
			t.Error(err)
		}
		g.Options = own
		g.Values["k"] = "v"
		err = g.Save(c.Request, c.Writer)
		if c.Query("end") != "" {
			err = errors.Join(err, c.DestroySession())
		}
		if c.Query("renew") != "" {
			err = errors.Join(err, c.RenewSession())
		}
		a.answer(c, err)
	})
	v := new(visitor)
	for _, page := range []string{"/own", "/own?end=1", "/own?renew=1"} {
		a.ok(v, page)
		if want := (gsessions.Options{Domain: ".Example.com", MaxAge: 60}); *own != want {
			t.Errorf("after %s the application's Options are %+v", page, *own)
		}
	}
}
