package clients

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
)

// Options that only set the cookie's path and age leave it HttpOnly and Lax: scripts and other
// sites cannot use it.
func TestOptionsOfPathAndAgeOnly(t *testing.T) {
	t.Parallel()
	o := sessions.Options{Path: "/", MaxAge: twelveHours}
	for _, of := range []string{"the session", "the store"} {
		t.Run("of "+of, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			if of == "the store" {
				s.store.Options(o)
				s.login("/login")
			} else {
				s.saves("/login", o)
			}
			s.listen()
			v := visit(t)
			v.open(s.url("/"))
			v.post("/login")
			kept := v.cookie("session")
			if !kept.HTTPOnly || kept.SameSite != network.CookieSameSiteLax {
				t.Errorf("HttpOnly %v, SameSite %q", kept.HTTPOnly, kept.SameSite)
			}
			if got := run[string](v, "document.cookie"); strings.Contains(got, "session") {
				t.Error("a script reads the cookie")
			}
		})
	}
}

// SameSite=None lets requests of other sites bring the cookie. A browser keeps such a cookie only if
// it is Secure. That must hold where a proxy ends TLS and the application gets plain HTTP, too.
func TestSameSiteNone(t *testing.T) {
	t.Parallel()
	for _, proxied := range []bool{false, true} {
		t.Run(fmt.Sprintf("behind a proxy %v", proxied), func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.store.Options(sessions.Options{Path: "/", HttpOnly: true, SameSite: http.SameSiteNoneMode})
			s.login("/login")
			if proxied {
				s.listen()
				s.server = serve(t, endsTLS(t, s.server.URL), true)
			} else {
				s.listenTLS()
			}
			evil := serve(t, pages{"/": "<p>elsewhere"}, true)
			v := visit(t)
			v.open(s.url("/"))
			in := v.post("/login")
			kept := v.cookie("session")
			if !kept.Secure || kept.SameSite != network.CookieSameSiteNone {
				t.Errorf("Secure %v, SameSite %q", kept.Secure, kept.SameSite)
			}
			v.navigate(urlOf(evil, evilHost, "/"))
			run[any](v, fmt.Sprintf(`fetch(%q, {mode: "no-cors", credentials: "include"}).then(() => true)`, s.url("/data")))
			if got := s.got(1, "GET", "/data")[0]; !strings.Contains(got.Cookie, "session="+kept.Value) {
				t.Errorf("the request of another site brought the cookie %q", got.Cookie)
			}
			v.wantWho(s.url("/"), in)
			s.wantSessions(1)
		})
	}
}

// endsTLS returns a proxy that sends plain HTTP to the server at address.
func endsTLS(t *testing.T, address string) http.Handler {
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
			r.SetXForwarded()
		},
	}
}

// A browser keeps a cookie whose name begins with __Host- only if it is Secure, has the path / and
// no domain. In return, no subdomain can replace it.
func TestHostCookie(t *testing.T) {
	t.Parallel()
	const name = "__Host-session"
	s := newShop(t, lifecycle.WithSessionName(name), lifecycle.WithSecureCookie(lifecycle.SecureAlways))
	s.login("/account/login")
	s.saves("/account/remember", sessions.Options{MaxAge: twelveHours}, rotates)
	s.listenTLS()
	app := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", name+"=planted-by-header; Path=/; Secure; Domain=shop.example")
		w.Header().Add("Set-Cookie", "control=1; Path=/; Secure; Domain=shop.example")
		_, _ = fmt.Fprint(w, "<p>the subdomain")
	}), true)
	v := visit(t)
	first := v.open(s.url("/account/"))
	in := first
	plants := func() {
		t.Helper()
		before := v.cookie(name)
		v.navigate(urlOf(app, appHost, "/"))
		run[any](v, `document.cookie = "`+name+`=planted-by-script; Path=/; Secure; Domain=shop.example"`)
		run[any](v, `document.cookie = "script=1; Path=/; Secure; Domain=shop.example"`)
		for _, control := range []string{"control", "script"} {
			if all := v.cookies(control); len(all) != 1 {
				t.Fatalf("the subdomain could not even set the cookie %s", control)
			}
		}
		kept := v.cookie(name)
		if kept.Value != before.Value || kept.Path != "/" || kept.Domain != "shop.example" || !kept.Secure {
			t.Errorf("the cookie: %+v", kept)
		}
		v.wantWho(s.url("/"), in)
	}
	plants()
	for _, login := range []string{"/account/login", "/account/remember"} {
		v.navigate(s.url("/account/"))
		if in = v.post(login); in != (who{first.ID, "alice"}) {
			t.Errorf("%s shows %+v", login, in)
		}
		plants()
	}
	s.wantSessions(1)
}
