package clients

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// What a foreign site sends on a visitor's behalf brings no cookie, as it is Lax. That
// is no visitor without a session: no session begins, and the answer sets no cookie,
// which would take the place of the visitor's own.
func TestForeignSiteSendsForTheVisitor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method string
		tls    bool
		page   string // of the foreign site; %q is the shop's address
		// script runs on that page; it ends when the shop has answered. Without one the
		// page leads to the shop by itself.
		script string
	}{
		"a form": {method: "POST", tls: true, page: autoForm},
		// Without TLS a browser tells nothing but the origin.
		"a form, without TLS": {method: "POST", page: autoForm},
		"a fetch":             {method: "POST", tls: true, script: `fetch(%q, {method: "POST", mode: "no-cors", credentials: "include", body: "amount=1"}).then(() => true)`},
		"an image":            {method: "GET", tls: true, script: loads("img")},
		"a script":            {method: "GET", tls: true, script: loads("script")},
		"a frame":             {method: "GET", tls: true, script: loads("iframe")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.login("/login")
			s.router.POST("/hit", func(c *gin.Context) { page(lifecycle.From(c)) })
			if c.tls {
				s.listenTLS()
			} else {
				s.listen()
			}
			hit := s.url("/hit")
			text := "<p>elsewhere"
			if c.page != "" {
				text = fmt.Sprintf(c.page, hit)
			}
			evil := serve(t, pages{"/": text}, c.tls)
			v := visit(t)
			attack := func(n int) {
				t.Helper()
				v.navigate(urlOf(evil, evilHost, "/"))
				if c.script != "" {
					run[any](v, fmt.Sprintf(c.script, hit))
				} else {
					v.arrives(shopHost)
				}
				e := s.got(n, c.method, "/hit")[n-1]
				if e.Cookie != "" || c.tls && e.Site != "cross-site" {
					t.Fatalf("that is no attack: cookie %q, Sec-Fetch-Site %q", e.Cookie, e.Site)
				}
				if lines := e.setCookies(); len(lines) != 0 {
					t.Errorf("the answer sets %d cookies", len(lines))
				}
			}
			attack(1)
			if all := s.sessions(); len(all) != 0 {
				t.Errorf("%d sessions began for a visitor who has never been there", len(all))
			}
			v.open(s.url("/"))
			in := v.post("/login")
			began := len(s.sessions())
			attack(2)
			if got := v.open(s.url("/")); in.User != "alice" || got != in {
				t.Errorf("afterwards: %+v, was %+v", got, in)
			}
			if n := len(s.sessions()); n != began {
				t.Errorf("%d sessions began", n-began)
			}
		})
	}
}

const autoForm = `<form method="post" action=%q><input name="amount" value="1"></form><script>document.forms[0].submit()</script>`

// loads returns a script that has the page load an element from an address.
func loads(element string) string {
	return `new Promise(done => {
		const e = document.createElement("` + element + `");
		e.onload = e.onerror = () => done(true);
		e.src = %q;
		document.body.append(e);
	})`
}

// A link on a foreign site leads a new visitor to a session, and a visitor who is
// logged in to his own.
func TestLinkOnAForeignSite(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.login("/login")
	s.listenTLS()
	evil := serve(t, pages{"/": fmt.Sprintf(`<a href=%q>offers</a>`, s.url("/offers"))}, true)
	v := visit(t)
	follow := func(n int) who {
		t.Helper()
		v.navigate(urlOf(evil, evilHost, "/"))
		run[any](v, `document.querySelector("a").click()`)
		v.arrives(shopHost)
		if e := s.got(n, "GET", "/offers")[n-1]; e.Site != "cross-site" {
			t.Fatalf("that is no link of a foreign site: Sec-Fetch-Site %q", e.Site)
		}
		return whoIs(t, run[string](v, "document.body.innerText"))
	}
	first := follow(1)
	if all := s.sessions(); first.ID == "" || len(all) != 1 {
		t.Errorf("a new visitor: %+v, sessions %v", first, all)
	}
	v.cookie("session")
	if in := v.post("/login"); in != (who{first.ID, "alice"}) {
		t.Errorf("the login shows %+v, was %+v", in, first)
	}
	if got := follow(2); got != (who{first.ID, "alice"}) {
		t.Errorf("logged in: %+v, was %+v", got, first)
	}
	if all := s.sessions(); len(all) != 1 {
		t.Errorf("sessions: %v", all)
	}
}

// A browser asks by OPTIONS, without cookies, whether a page of another origin may send
// a request. That is no visit.
func TestPreflight(t *testing.T) {
	t.Parallel()
	for _, from := range []string{evilHost, appHost} {
		for _, allowed := range []bool{false, true} {
			t.Run(fmt.Sprintf("from %s, allowed %v", from, allowed), func(t *testing.T) {
				t.Parallel()
				preflight(t, from, allowed)
			})
		}
	}
}

func preflight(t *testing.T, from string, allowed bool) {
	s := newShop(t)
	s.login("/login")
	other := serve(t, pages{"/": "<p>elsewhere"}, true)
	origin := urlOf(other, from, "")
	allow := func(c *gin.Context) {
		if allowed {
			c.Header("Access-Control-Allow-Origin", origin)
			c.Header("Access-Control-Allow-Credentials", "true")
			c.Header("Access-Control-Allow-Headers", "X-Shop")
			c.Header("Access-Control-Allow-Methods", http.MethodPut)
			c.Header("Access-Control-Max-Age", "0") // ask every time
		}
	}
	s.router.OPTIONS("/item", func(c *gin.Context) { allow(c); c.Status(http.StatusNoContent) })
	s.router.PUT("/item", func(c *gin.Context) { allow(c); page(lifecycle.From(c)) })
	s.listenTLS()
	v := visit(t)
	asks := func(n int) {
		t.Helper()
		v.navigate(origin + "/")
		sent := run[bool](v, fmt.Sprintf(
			`fetch(%q, {method: "PUT", credentials: "include", headers: {"X-Shop": "1"}}).then(() => true, () => false)`,
			s.url("/item")))
		if sent != allowed {
			t.Fatalf("the request was sent: %v, want %v", sent, allowed)
		}
		e := s.got(n, "OPTIONS", "/item")[n-1]
		if lines := e.setCookies(); len(lines) != 0 {
			t.Errorf("the answer to the preflight sets %d cookies", len(lines))
		}
	}
	// What the request itself begins is another matter: it is one of the same site
	// where it comes from the subdomain.
	most := 0
	if allowed && from == appHost {
		most = 1
	}
	asks(1)
	if n := len(s.sessions()); n > most {
		t.Errorf("%d sessions began", n)
	}
	v.open(s.url("/"))
	in := v.post("/login")
	began := len(s.sessions())
	asks(2)
	if got := v.open(s.url("/")); in.User != "alice" || got != in {
		t.Errorf("afterwards: %+v, was %+v", got, in)
	}
	if n := len(s.sessions()); n != began {
		t.Errorf("%d sessions began", n-began)
	}
}
