package suite_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
)

// login makes path log a user in, the way most applications of gin-contrib/sessions do.
func login(a *app, path string, rotate bool, o sessions.Options) {
	a.get(path, func(c *lifecycle.Context) {
		if rotate {
			if err := c.RotateSession(); err != nil {
				a.answer(c, err)
				return
			}
		}
		s := sessions.Default(c.Context)
		s.Set("user", "alice")
		s.Options(o)
		a.answer(c, s.Save())
	})
}

// everywhere makes an app answer with the session's ID, and its user, under every path.
func everywhere(a *app) {
	a.router.NoRoute(lifecycle.Handler(func(c *lifecycle.Context) {
		c.String(http.StatusOK, "%s %v", idOf(c), sessions.Default(c.Context).Get("user"))
	}))
}

// Whatever of the Options is left out at a login, or spelled otherwise, the browser has one
// cookie afterwards, for every page, and the visitor is logged in.
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
					a := newApp(t, shared(t), prefix())
					if domain != "" {
						a.store.Options(sessions.Options{Domain: domain})
					}
					login(a, "/account/login", rotate, o)
					everywhere(a)
					server := a.serve()
					known, fresh := newBrowser(t, server), newBrowser(t, server)
					known.ok("/") // has a session before
					for _, b := range []*browser{known, fresh} {
						id := b.ok("/account/login")
						for _, page := range []string{"/x", "/account/x", "/account/a/b", "/account/login", "/x"} {
							if page != "/account/login" {
								if got := b.ok(page); got != id+" alice" {
									t.Errorf("%s: %q, want session %s of alice", page, got, id)
								}
							} else if got := b.ok(page); got != id {
								t.Errorf("%s: session %q, want %s", page, got, id)
							}
							if n := len(b.has(page)); n != 1 {
								t.Errorf("%s: %d cookies", page, n)
							}
						}
					}
				})
			}
		}
	}
}

// A store whose Options have no Path has one cookie for the site, and not one for each
// folder.
func TestStoreOptionsWithoutPath(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	a.store.Options(sessions.Options{MaxAge: 3600})
	everywhere(a)
	b := newBrowser(t, a.serve())
	first := b.ok("/shop/item/1")
	for _, page := range []string{"/", "/shop/item/2", "/shop/", "/account", "/account/a/b/c", "/shop", "/x", "/"} {
		if got, _, _ := strings.Cut(b.ok(page), " "); !strings.HasPrefix(first, got) {
			t.Errorf("%s: session %q, want %q", page, got, first)
		}
	}
	if n := len(b.has("/shop/item/1")); n != 1 {
		t.Errorf("%d cookies", n)
	}
}

// A logout leaves no cookie behind, however its Options are spelled and wherever the
// cookie is.
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
				a := newApp(t, shared(t), prefix())
				a.store.Options(store)
				login(a, "/account/login", true, sessions.Options{Path: store.Path, Domain: store.Domain, MaxAge: 60})
				a.get("/account/logout", func(c *lifecycle.Context) {
					if o == nil {
						a.answer(c, c.DestroySession())
						return
					}
					s := sessions.Default(c.Context)
					s.Options(*o)
					a.answer(c, s.Save())
				})
				b := newBrowser(t, a.serve())
				id := b.ok("/account/login")
				if n := len(b.has("/account/x")); n != 1 {
					t.Fatalf("%d cookies after the login", n)
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

// Whatever other cookies of the name a browser has, the visitor keeps his session, and a
// login holds. What is the library's own is taken away.
func TestSeveralCookiesHeal(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	login(a, "/app/login", true, sessions.Options{MaxAge: 600})
	login(a, "/app/plain", false, sessions.Options{})
	everywhere(a)
	server := a.serve()
	dead := func() string {
		id, v := a.begin()
		if err := a.m.Destroy(within(t), id, ""); err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(v.cookie, "session=")
	}
	live := func() string {
		_, v := a.begin()
		return strings.TrimPrefix(v.cookie, "session=")
	}
	const foreign = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"
	for name, c := range map[string]struct {
		others []http.Cookie
		own    bool // they are the library's own
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
				first := b.ok("/app/page")
				for range 3 {
					if got := b.ok("/app/page"); got != first {
						t.Fatalf("session %q, was %q", got, first)
					}
				}
				id := b.ok(at)
				if at == "/app/plain" && !strings.HasPrefix(first, id) {
					t.Errorf("the login was in session %q, want %q", id, first)
				}
				for _, page := range []string{"/app/page", "/app/page", "/x"} {
					if got := b.ok(page); got != id+" alice" {
						t.Errorf("after the login at %s, %s: %q, want session %s of alice", at, page, got, id)
					}
				}
				if n := len(b.has("/app/page")); c.own && n != 1 {
					t.Errorf("%d cookies are left", n)
				}
			}
		})
	}
	t.Cleanup(func() { // after the parallel ones
		if n := strings.Count(a.log.String(), "several cookies of the session's name"); n != 1 {
			t.Errorf("the log says %d times that there are several cookies", n)
		}
	})
}

// What cannot be taken away is not tried with every request, and where another application
// has a cookie of the name nothing is: nobody can say which one is where.
func TestHealingIsCareful(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	everywhere(a)
	id, v := a.begin()
	_, dead := a.begin()
	a.ok(dead, "/destroy")
	_, dead = a.begin()
	before := dead.cookie
	a.ok(dead, "/destroy")
	_, neighbour := newApp(t, a.on, prefix()).begin()
	visit := func(cookies ...string) int {
		t.Helper()
		w := a.visit(&visitor{strings.Join(cookies, "; ")}, "/page")
		if got := w.Body.String(); got != id+" <nil>" {
			t.Errorf("session %q, want %s", got, id)
		}
		return len(w.Header().Values("Set-Cookie"))
	}
	if n := visit(before, v.cookie, neighbour.cookie); n != 0 {
		t.Errorf("%d cookies beside another application's", n)
	}
	if n := visit(before, v.cookie); n == 0 {
		t.Error("nothing was taken away")
	}
	for range 3 {
		if n := visit(before, v.cookie); n != 0 {
			t.Errorf("%d cookies once more", n)
		}
	}
}

// Of two live sessions the first counts, as browsers send them: that of the longer path.
// Of more than four tokens the first four are asked for, in one round trip.
func TestSeveralLiveCookies(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
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
		t.Errorf("%d tokens were asked for", len(asked))
	}
	if err := a.m.Destroy(within(t), ids[0], ""); err != nil {
		t.Fatal(err)
	}
	if got := a.ok(&visitor{strings.Join(values, "; ")}, "/"); got != ids[1] {
		t.Errorf("session %q, want the first that lives, %s", got, ids[1])
	}
	// The same cookie twice is one.
	w := a.visit(&visitor{values[3] + "; " + values[3]}, "/")
	if got := w.Body.String(); got != ids[3] || len(w.Header().Values("Set-Cookie")) != 0 {
		t.Errorf("session %q, want %s; cookies %v", got, ids[3], w.Header().Values("Set-Cookie"))
	}
}

// A cookie that moves to another place is taken away from the old one, before it is set,
// and only if the two places are two to a browser.
func TestRemovalComesFirst(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	for path, o := range map[string]sessions.Options{
		"/domain": {Domain: "example.com"}, "/folder": {Path: "/folder"}, "/back": {}, "/same": {Path: "/", MaxAge: 5},
	} {
		login(a, path, false, o)
	}
	for _, c := range []struct {
		from, to string
		want     []string // what each line says of the place, and whether it removes
	}{
		{"/", "/same", []string{"/"}},
		{"/", "/domain", []string{"- /", "example.com /"}},
		{"/", "/folder", []string{"- /", "/folder"}},
		{"/domain", "/domain", nil}, // the browser has it
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
	// A session that begins in the same request has been nowhere before.
	w := a.visit(new(visitor), "/folder")
	if got := w.Result().Cookies(); len(got) != 1 || got[0].Path != "/folder" {
		t.Errorf("cookies: %v", w.Header().Values("Set-Cookie"))
	}
}
