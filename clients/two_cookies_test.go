package clients

import (
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
)

// jwt is the value of another application's cookie, which has the same name as the session's.
const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib2IifQ.c2lnbmF0dXJl"

// holdsUnder fails the test unless the visitor has the same session on all pages under /app, before
// and after a login, and no other session begins meanwhile. want is the session's ID, "" for any.
func holdsUnder(t *testing.T, s *shop, v *visitor, want string) {
	t.Helper()
	began := len(s.sessions())
	shows := func(user string) {
		t.Helper()
		for _, path := range []string{"/app/a", "/app/b/c", "/app/", "/app/a"} {
			got := v.open(s.url(path))
			if want == "" {
				want = got.ID
			}
			if got.ID == "" || got != (who{want, user}) {
				t.Errorf("%s shows %+v, want session %s of %q", path, got, want, user)
			}
		}
	}
	shows("")
	if in := v.post("/app/login"); in != (who{want, "alice"}) {
		t.Errorf("the login shows %+v, want session %s", in, want)
	}
	shows("alice")
	if n := len(s.sessions()); n != began {
		t.Errorf("%d sessions began", n-began)
	}
}

// Another application has a cookie of the same name, and the browser sends both. The visitor keeps
// the session, whichever cookie the browser sends first.
func TestForeignCookieOfTheSameName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		foreign network.CookieParam
		first   bool // it was there before the session's cookie
	}{
		"of a longer path":          {foreign: network.CookieParam{Path: "/app"}},
		"of the domain, set later":  {foreign: network.CookieParam{Path: "/", Domain: "." + shopHost}},
		"of the domain, set before": {foreign: network.CookieParam{Path: "/", Domain: "." + shopHost}, first: true},
		"of both, and HttpOnly":     {foreign: network.CookieParam{Path: "/app", Domain: "." + shopHost, HTTPOnly: true}, first: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.login("/app/login")
			s.listen()
			v := visit(t)
			c.foreign.Name, c.foreign.Value, c.foreign.URL = "session", jwt, s.url("/")
			var id string
			if c.first {
				v.keep(c.foreign)
				id = v.open(s.url("/")).ID
			} else {
				id = v.open(s.url("/")).ID
				v.keep(c.foreign)
			}
			holdsUnder(t, s, v, id)
			left := 0
			for _, kept := range v.cookies("session") {
				if kept.Value == jwt {
					left++
				}
			}
			if all := v.cookies("session"); left != 1 || len(all) != 2 {
				t.Errorf("cookies: %s, want the session's and the other application's", describe(all))
			}
		})
	}
}

// An old cookie of a session that has ended has a longer path, so the browser sends it before the
// cookie of the live session. The library ignores the old cookie and removes it.
func TestDeadCookieAtALongerPath(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.login("/app/login")
	s.listen()
	other := visit(t)
	gone := other.open(s.url("/")).ID
	dead := other.cookie("session").Value
	if err := s.manager.Destroy(t.Context(), gone, ""); err != nil {
		t.Fatal(err)
	}
	v := visit(t)
	id := v.open(s.url("/")).ID
	v.keep(network.CookieParam{Name: "session", Value: dead, URL: s.url("/"), Path: "/app", HTTPOnly: true, SameSite: network.CookieSameSiteLax})
	holdsUnder(t, s, v, id)
	if kept := v.cookie("session"); kept.Path != "/" || kept.Value == dead {
		t.Errorf("left: %s", describe([]*network.Cookie{kept}))
	}
}

// A login once gave the cookie of a session a path of its own. On other pages, another session has
// begun since. The browser sends both cookies, of two live sessions. The same one of them always wins,
// and the other one is removed.
func TestLiveCookieAtAnOlderPath(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.router.POST("/app/older", lifecycle.Handler(func(c *lifecycle.Context) {
		session := sessions.Default(c.Context)
		session.Set("seen", true)
		session.Options(sessions.Options{Path: "/app", HttpOnly: true})
		if err := session.Save(); err != nil {
			t.Error(err)
		}
	}))
	s.login("/app/login")
	s.listen()
	v := visit(t)
	v.open(s.url("/app/a"))
	v.fetch("POST", "/app/older")
	if kept := v.cookie("session"); kept.Path != "/app" {
		t.Fatalf("the older cookie: %s", describe([]*network.Cookie{kept}))
	}
	v.open(s.url("/"))
	if all := v.cookies("session"); len(all) != 2 {
		t.Fatalf("cookies: %s, want two", describe(all))
	}
	holdsUnder(t, s, v, "")
	v.cookie("session")
}
