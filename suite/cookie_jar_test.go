package suite_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A login may leave out some of the Options, or spell them in another way. Afterwards the
// browser has one cookie for every page, and the visitor is logged in.
func TestLoginWithOptions(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]sessions.Options{
		"MaxAge":               {MaxAge: 43200},
		"nothing":              {},
		"Path":                 {Path: "/", MaxAge: 43200},
		"Domain":               {MaxAge: 43200, Domain: "example.com"},
		"Domain with a dot":    {MaxAge: 43200, Domain: ".example.com"},
		"Domain in upper case": {MaxAge: 43200, Domain: "Example.COM"},
		"a relative Path":      {Path: "a", MaxAge: 43200},
	} {
		for _, domain := range []string{"", "example.com", ".Example.com"} {
			for _, rotate := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%v", name, domain, rotate), func(t *testing.T) {
					t.Parallel()
					a := newApp(t, shared(t), redistest.Prefix())
					if domain != "" {
						a.store.Options(sessions.Options{Domain: domain})
					}
					a.login("/account/login", rotate, o)
					a.everywhere()
					server := a.serve()
					known, fresh := newBrowser(t, server), newBrowser(t, server)
					known.ok("/") // this visitor has a session before the login
					for _, b := range []*browser{known, fresh} {
						id := b.ok("/account/login")
						for _, page := range []string{"/x", "/account/x", "/account/a/b", "/account/login", "/x"} {
							want := id + " alice"
							if page == "/account/login" {
								want = id
							}
							if got := b.ok(page); got != want {
								t.Errorf("%s: %q, want %q", page, got, want)
							}
							if n := len(b.has(page)); n != 1 {
								t.Errorf("%s: %d cookies, want one", page, n)
							}
						}
					}
				})
			}
		}
	}
}

// A store whose Options have no Path sets one cookie for the whole site, and not one for
// each folder.
func TestStoreOptionsWithoutPath(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.store.Options(sessions.Options{MaxAge: 3600})
	a.everywhere()
	b := newBrowser(t, a.serve())
	first := b.ok("/shop/item/1")
	for _, page := range []string{"/", "/shop/item/2", "/shop/", "/account", "/account/a/b/c", "/shop", "/x", "/"} {
		if got, _, _ := strings.Cut(b.ok(page), " "); !strings.HasPrefix(first, got) {
			t.Errorf("%s: session %q, want %q", page, got, first)
		}
	}
	if n := len(b.has("/shop/item/1")); n != 1 {
		t.Errorf("%d cookies, want one", n)
	}
}

// A logout removes the cookie, whatever the Options of the logout are, and whatever path
// and domain the cookie has.
func TestLogoutLeavesNoCookie(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]sessions.Options{
		"default": {}, "Path": {Path: "/account"}, "Domain": {Domain: "example.com"}, "both": {Path: "/account", Domain: ".EXAMPLE.com"},
	} {
		for logout, o := range map[string]*sessions.Options{
			"MaxAge": {MaxAge: -1}, "Path": {Path: "/", MaxAge: -1}, "Domain": {Domain: "Example.com", MaxAge: -1}, "DestroySession": nil,
		} {
			t.Run(name+"/"+logout, func(t *testing.T) {
				t.Parallel()
				a := newApp(t, shared(t), redistest.Prefix())
				a.store.Options(store)
				a.login("/account/login", true, sessions.Options{Path: store.Path, Domain: store.Domain, MaxAge: 60})
				a.get("/account/logout", func(c *lifecycle.Context) {
					if o == nil {
						a.answer(c, c.DestroySession())
						return
					}
					a.answer(c, saveWith(c, *o))
				})
				b := newBrowser(t, a.serve())
				id := b.ok("/account/login")
				if n := len(b.has("/account/x")); n != 1 {
					t.Fatalf("%d cookies after the login, want one", n)
				}
				b.ok("/account/logout")
				if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed {
					t.Errorf("ended: %s %s", s.ID, s.Reason)
				}
				if left := b.has("/account/x"); len(left) != 0 {
					t.Errorf("cookies after the logout: %v", left)
				}
			})
		}
	}
}

// A browser may have other cookies of the same name. The visitor keeps the session all the
// same, and a login works. The library removes cookies that it has set itself.
func TestSeveralCookiesHeal(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.login("/app/login", true, sessions.Options{MaxAge: 600})
	a.login("/app/plain", false, sessions.Options{})
	a.everywhere()
	server := a.serve()
	live := func() string {
		_, v := a.begin()
		return strings.TrimPrefix(v.cookie, "session=")
	}
	dead := func() string {
		value := live()
		id, _, _ := strings.Cut(value, ".")
		a.end(id, "")
		return value
	}
	const foreign = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"
	for name, c := range map[string]struct {
		others []http.Cookie
		own    bool // the library has set all of them
	}{
		"foreign, of a folder":         {others: []http.Cookie{{Value: foreign, Path: "/app"}}},
		"foreign, of a domain":         {others: []http.Cookie{{Value: foreign, Path: "/app", Domain: "example.com"}}},
		"dead, of a folder":            {others: []http.Cookie{{Value: dead(), Path: "/app"}}, own: true},
		"dead, of a page":              {others: []http.Cookie{{Value: dead(), Path: "/app/page"}}, own: true},
		"dead, of a folder with slash": {others: []http.Cookie{{Value: dead(), Path: "/app/"}}, own: true},
		"dead, three":                  {others: []http.Cookie{{Value: dead(), Path: "/app"}, {Value: dead(), Path: "/app/"}, {Value: dead(), Path: "/app/page"}}, own: true},
		"live, of a folder":            {others: []http.Cookie{{Value: live(), Path: "/app"}}, own: true},
		"mixed":                        {others: []http.Cookie{{Value: foreign, Path: "/app"}, {Value: dead(), Path: "/app/page"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, at := range []string{"/app/login", "/app/plain"} {
				b := newBrowser(t, server)
				b.ok("/")
				for _, o := range c.others {
					o.Name = "session"
					b.put("/app/page", o)
				}
				keepsSession(t, b, at)
				if n := len(b.has("/app/page")); c.own && n != 1 {
					t.Errorf("%d cookies are left, want one", n)
				}
			}
		})
	}
	t.Cleanup(func() { // after the parallel subtests
		if n := strings.Count(a.log.String(), logSeveralCookies); n != 1 {
			t.Errorf("the log has %d lines about several cookies, want one", n)
		}
	})
}

// keepsSession fails the test unless the visitor has the same session on each page, before
// and after a login.
func keepsSession(t *testing.T, b *browser, login string) {
	t.Helper()
	first := b.ok("/app/page")
	for range 3 {
		if got := b.ok("/app/page"); got != first {
			t.Fatalf("session %q, want %q as before", got, first)
		}
	}
	id := b.ok(login)
	if login == "/app/plain" && !strings.HasPrefix(first, id) {
		t.Errorf("the login was in session %q, want %q", id, first)
	}
	for _, page := range []string{"/app/page", "/app/page", "/x"} {
		if got := b.ok(page); got != id+" alice" {
			t.Errorf("after the login at %s, %s: %q, want session %s of alice", login, page, got, id)
		}
	}
}

// If removing a cookie does not help, the library does not try it again with every
// request. If another application has a cookie of the same name, the library removes
// nothing: it cannot know which cookie has which path.
func TestHealingIsCareful(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.everywhere()
	id, v := a.begin()
	_, dead := a.begin()
	before := dead.cookie
	a.ok(dead, "/destroy")
	_, neighbour := newApp(t, a.on, redistest.Prefix()).begin()
	visit := func(cookies ...string) int {
		t.Helper()
		w := a.visit(&visitor{strings.Join(cookies, "; ")}, "/page")
		if got := w.Body.String(); got != id+" <nil>" {
			t.Errorf("session %q, want %s", got, id)
		}
		return len(w.Header().Values("Set-Cookie"))
	}
	if n := visit(before, v.cookie, neighbour.cookie); n != 0 {
		t.Errorf("%d cookies were set beside another application's cookie, want none", n)
	}
	if n := visit(before, v.cookie); n == 0 {
		t.Error("no cookie was removed")
	}
	for range 3 {
		if n := visit(before, v.cookie); n != 0 {
			t.Errorf("%d cookies were removed again, want none", n)
		}
	}
}

// If a request has cookies of several live sessions, the first one counts: browsers send
// the cookie with the longest path first. The library asks Redis for at most four of them,
// in one round trip.
func TestSeveralLiveCookies(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	sent := watch(a.rdb)
	var ids, values []string
	for range 7 {
		id, v := a.begin()
		ids, values = append(ids, id), append(values, v.cookie)
	}
	sent.reset()
	if got := a.ok(&visitor{strings.Join(values, "; ")}, "/"); got != ids[0] {
		t.Errorf("session %q, want the first, %s", got, ids[0])
	}
	if asked := sent.of("getex"); len(asked) != 4 {
		t.Errorf("the library asked Redis for %d sessions, want four", len(asked))
	}
	a.end(ids[0], "")
	if got := a.ok(&visitor{strings.Join(values, "; ")}, "/"); got != ids[1] {
		t.Errorf("session %q, want the first live one, %s", got, ids[1])
	}
	// The same cookie twice counts as one cookie.
	w := a.visit(&visitor{values[3] + "; " + values[3]}, "/")
	if got := w.Body.String(); got != ids[3] || len(w.Header().Values("Set-Cookie")) != 0 {
		t.Errorf("session %q, want %s; cookies %v", got, ids[3], w.Header().Values("Set-Cookie"))
	}
}

// If the domain or the path of the cookie changes, the library first removes the old
// cookie, then sets the new one. It removes nothing if the browser replaces the cookie by
// itself.
func TestRemovalComesFirst(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	for path, o := range map[string]sessions.Options{
		"/domain": {Domain: "example.com"}, "/folder": {Path: "/folder"}, "/back": {}, "/same": {Path: "/", MaxAge: 5},
	} {
		a.login(path, false, o)
	}
	for _, c := range []struct {
		from, to string
		want     []string // domain and path of each Set-Cookie line, with "-" if the line removes the cookie
	}{
		{"/", "/same", []string{"/"}},
		{"/", "/domain", []string{"- /", "example.com /"}},
		{"/", "/folder", []string{"- /", "/folder"}},
		{"/domain", "/domain", nil}, // the browser has this cookie already
		{"/domain", "/back", []string{"- example.com /", "/"}},
	} {
		v := new(visitor)
		a.ok(v, c.from)
		w := a.visit(v, c.to)
		var got []string
		for _, line := range w.Result().Cookies() {
			text := strings.TrimSpace(line.Domain + " " + line.Path)
			if line.MaxAge < 0 {
				text = "- " + text
			}
			got = append(got, text)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("from %s to %s: %q, want %q", c.from, c.to, got, c.want)
		}
	}
	// A session that begins in the same request has no old cookie.
	w := a.visit(new(visitor), "/folder")
	if got := w.Result().Cookies(); len(got) != 1 || got[0].Path != "/folder" {
		t.Errorf("cookies: %v", w.Header().Values("Set-Cookie"))
	}
}
