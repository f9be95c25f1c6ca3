package clients

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// Another site makes the visitor's browser send a request. The cookie is Lax, so the request comes
// without it. Though it looks like a visitor without a session, no session begins, and the response
// sets no cookie, which would replace the visitor's own.
func TestForeignSiteSendsForTheVisitor(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]crossSite{
		"a form": {method: "POST", tls: true, page: autoForm},
		// Without TLS a browser only says from which origin the request comes.
		"a form, without TLS": {method: "POST", page: autoForm},
		"a fetch":             {method: "POST", tls: true, script: `fetch(%q, {method: "POST", mode: "no-cors", credentials: "include", body: "amount=1"}).then(() => true)`},
		"an image":            {method: "GET", tls: true, script: loads("img")},
		"a script":            {method: "GET", tls: true, script: loads("script")},
		"a frame":             {method: "GET", tls: true, script: loads("iframe")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			foreignSiteSends(t, x)
		})
	}
}

// crossSite is a way in which another site's page makes the browser send a request to the shop.
type crossSite struct {
	method string
	tls    bool
	page   string // of the other site; %q is the address at the shop
	// script runs on that page and returns when the shop has responded. Without a script the page
	// itself leads to the shop.
	script string
}

func foreignSiteSends(t *testing.T, x crossSite) {
	s := newShop(t)
	s.login("/login")
	s.router.POST("/hit", func(c *gin.Context) { page(lifecycle.From(c)) })
	if x.tls {
		s.listenTLS()
	} else {
		s.listen()
	}
	hit := s.url("/hit")
	text := "<p>elsewhere"
	if x.page != "" {
		text = fmt.Sprintf(x.page, hit)
	}
	evil := serve(t, pages{"/": text}, x.tls)
	v := visit(t)
	attack := func(n int) {
		t.Helper()
		v.navigate(urlOf(evil, evilHost, "/"))
		if x.script != "" {
			run[any](v, fmt.Sprintf(x.script, hit))
		} else {
			v.arrives(shopHost)
		}
		e := s.got(n, x.method, "/hit")[n-1]
		if e.Cookie != "" || x.tls && e.Site != "cross-site" {
			t.Fatalf("this is no request of another site: cookie %q, Sec-Fetch-Site %q", e.Cookie, e.Site)
		}
		if lines := e.setCookies(); len(lines) != 0 {
			t.Errorf("the response sets %d cookies", len(lines))
		}
	}
	attack(1)
	s.wantSessions(0) // the visitor has never been at the shop
	v.open(s.url("/"))
	in := v.post("/login")
	begun := len(s.sessions())
	attack(2)
	if in.User != "alice" {
		t.Errorf("the login shows %+v", in)
	}
	v.wantWho(s.url("/"), in)
	s.wantSessions(begun)
}

// autoForm is a page with a form that sends itself.
const autoForm = `<form method="post" action=%q><input name="amount" value="1"></form><script>document.forms[0].submit()</script>`

// loads returns a script that makes the page load an element from an address.
func loads(element string) string {
	return `new Promise(done => {
		const e = document.createElement("` + element + `");
		e.onload = e.onerror = () => done(true);
		e.src = %q;
		document.body.append(e);
	})`
}

// A visitor follows a link on another site. A new visitor gets a session. A visitor who is logged in
// keeps theirs.
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
			t.Fatalf("the browser did not mark the link as another site's: Sec-Fetch-Site %q", e.Site)
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
	s.wantSessions(1)
}

// Before a page of another origin may send a request, the browser asks for permission with an
// OPTIONS request without cookies. No session begins in it.
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
			c.Header("Access-Control-Max-Age", "0") // the browser must ask every time
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
			t.Errorf("the response to the preflight sets %d cookies", len(lines))
		}
	}
	// The request itself may begin a session if it comes from the subdomain, which is the same site.
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
	begun := len(s.sessions())
	asks(2)
	if in.User != "alice" {
		t.Errorf("the login shows %+v", in)
	}
	v.wantWho(s.url("/"), in)
	s.wantSessions(begun)
}
