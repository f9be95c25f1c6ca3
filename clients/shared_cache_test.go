package clients

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
)

// publicPage adds /page, of which the application says that it is the same for everybody. before
// runs first.
func (s *shop) publicPage(before ...func(c *lifecycle.Context) error) {
	s.router.GET("/page", lifecycle.Handler(func(c *lifecycle.Context) {
		c.Header("Cache-Control", anyoneMay)
		for _, f := range before {
			if err := f(c); err != nil {
				s.t.Error(err)
			}
		}
		page(c)
	}))
}

// The cache of these tests works: a static page comes from the origin for the first client, and from
// the cache for the others.
func TestSharedCacheKeepsPages(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen()
	cache := sharedCache(t, s.server.URL)
	for range 3 {
		newClient(t).get(cache + staticPage)
	}
	if all := s.got(1, "GET", staticPage); len(all) != 1 {
		t.Errorf("the origin got %d requests", len(all))
	}
}

// The first page of a visitor comes with the session's cookie. The cache does not keep that page for
// the next visitor, whatever the application says about it.
func TestSharedCacheAndFirstVisits(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.publicPage()
	s.listen()
	cache := sharedCache(t, s.server.URL)
	a, b := newClient(t), newClient(t)
	first := a.get(cache + "/page")
	second := b.get(cache + "/page")
	if len(first.tokens()) != 1 || len(second.tokens()) != 1 {
		t.Fatalf("cookies: %d and %d, want one each", len(first.tokens()), len(second.tokens()))
	}
	if first.tokens()[0] == second.tokens()[0] || first.who() == second.who() {
		t.Errorf("the second visitor got the first one's session: %+v and %+v", first.who(), second.who())
	}
	if got := a.get(cache + "/other").who(); got != first.who() || got.ID == "" {
		t.Errorf("the first visitor: %+v, then %+v", first.who(), got)
	}
	if got := b.get(cache + "/other").who(); got != second.who() || got.ID == "" {
		t.Errorf("the second visitor: %+v, then %+v", second.who(), got)
	}
	s.wantSessions(2)
}

// The same with browsers.
func TestSharedCacheAndBrowsers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.publicPage()
	s.listen()
	cache := strings.Replace(sharedCache(t, s.server.URL), "127.0.0.1", shopHost, 1)
	a, b := visit(t), visit(t)
	first, second := a.open(cache+"/page"), b.open(cache+"/page")
	if first.ID == "" || second.ID == "" || first == second {
		t.Errorf("on the page: %+v and %+v", first, second)
	}
	if a.cookie("session").Value == b.cookie("session").Value {
		t.Error("the second browser has the first one's cookie")
	}
	if got := a.open(cache + "/other"); got != first {
		t.Errorf("the first visitor: %+v, then %+v", first, got)
	}
	if got := b.open(cache + "/other"); got != second {
		t.Errorf("the second visitor: %+v, then %+v", second, got)
	}
}

// The cache does not keep a response either in which the handler sets or removes the cookie. No
// visitor gets another one's cookie, and each request after which a visitor gets a cookie reaches
// the application.
func TestSharedCacheAndLateCookies(t *testing.T) {
	t.Parallel()
	remember := savesWith(sessions.Options{Path: "/", HttpOnly: true, MaxAge: twelveHours})
	for name, c := range map[string]struct {
		handler func(c *lifecycle.Context) error
		removes bool // the visitor has no session afterwards; one who had none perhaps gets no cookie
	}{
		"save":   {handler: remember},
		"rotate": {handler: (*lifecycle.Context).RotateSession},
		"remove": {handler: (*lifecycle.Context).DestroySession, removes: true},
		"logout": {handler: savesWith(sessions.Options{Path: "/", MaxAge: -1}), removes: true},
		"save, then public": {handler: func(c *lifecycle.Context) error {
			err := remember(c)
			c.Header("Cache-Control", anyoneMay)
			return err
		}},
		"rotate, then public": {handler: func(c *lifecycle.Context) error {
			err := c.RotateSession()
			c.Header("Cache-Control", anyoneMay)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.publicPage(c.handler)
			s.listen()
			cache := sharedCache(t, s.server.URL)
			var given []string // all cookies so far
			visits := func(v *client) response {
				t.Helper()
				got := v.get(cache + "/page")
				for _, token := range got.tokens() {
					if token != "" && slices.Contains(given, token) {
						t.Error("a visitor got another one's cookie")
					}
				}
				given = append(given, got.tokens()...)
				return got
			}
			for range 2 {
				known := newClient(t)
				before := known.get(cache + "/before").who()
				got := visits(known)
				if len(got.tokens()) == 0 {
					t.Error("the response neither set nor removed the cookie of a visitor with a session")
				}
				if id := got.who().ID; c.removes != (id == "") || id != "" && id != before.ID {
					t.Errorf("a visitor has the session %q, had %q", id, before.ID)
				}
				visits(newClient(t))
			}
			if all := s.got(1, "GET", "/page"); len(all) != 4 && !c.removes {
				t.Errorf("the application got %d of 4 requests", len(all))
			}
		})
	}
}

// A cache may keep a page of one visitor that comes without a cookie, but only for that visitor.
func TestSharedCacheAndPagesOfOneVisitor(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.publicPage()
	s.listen()
	cache := sharedCache(t, s.server.URL)
	visitors := make(map[*client]who)
	for range 3 {
		c := newClient(t)
		visitors[c] = c.get(cache + "/before").who()
	}
	for range 2 {
		for c, is := range visitors {
			got := c.get(cache + "/page")
			if got.who() != is || is.ID == "" {
				t.Errorf("the visitor %+v is shown %+v", is, got.who())
			}
			if n := len(got.tokens()); n != 0 {
				t.Fatalf("the page came with %d cookies, want none", n)
			}
		}
	}
	if all := s.got(1, "GET", "/page"); len(all) != len(visitors) {
		t.Errorf("the origin got %d requests, want one of each visitor", len(all))
	}
	if got := newClient(t).get(cache + "/page").who(); got.ID == "" || slices.Contains(s.sessions()[:3], got.ID) {
		t.Errorf("a new visitor is shown %+v", got)
	}
}

// The header says to caches that the response depends on the cookie, and if it sets the cookie, that
// it is for this visitor only. All else that the application has set stays.
func TestCacheHeaders(t *testing.T) {
	t.Parallel()
	const own = `no-cache="Set-Cookie"`
	for _, c := range []struct {
		given   string
		first   []string // the directives of the first visit, which sets the cookie
		further []string // the directives of the second visit, which sets none
	}{
		{"", []string{own, "private"}, nil},
		{"public, max-age=60", []string{"max-age=60", own, "private"}, []string{"max-age=60", "public"}},
		{"public, s-maxage=600, max-age=60, must-revalidate", []string{"max-age=60", "must-revalidate", own, "private"}, []string{"max-age=60", "must-revalidate", "public", "s-maxage=600"}},
		{"s-maxage=600", []string{own, "private"}, []string{"s-maxage=600"}},
		{"private, max-age=5", []string{"max-age=5", own, "private"}, []string{"max-age=5", "private"}},
		{"Public, S-MaxAge=600, Max-Age=60", []string{"max-age=60", own, "private"}, []string{"max-age=60", "public", "s-maxage=600"}},
	} {
		t.Run(cmp.Or(c.given, "nothing said"), func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.router.GET("/page", lifecycle.Handler(func(x *lifecycle.Context) {
				if c.given != "" {
					x.Header("Cache-Control", c.given)
				}
				x.Header("Vary", "Accept-Encoding")
				page(x)
			}))
			s.listen()
			v := newClient(t)
			for i, want := range [][]string{c.first, c.further} {
				got := v.get(s.server.URL + "/page")
				if n := len(got.tokens()); n != 1-i {
					t.Fatalf("visit %d: %d cookies", i+1, n)
				}
				if d := got.directives(); !slices.Equal(d, want) {
					t.Errorf("visit %d: Cache-Control %q, want %q", i+1, d, want)
				}
				if vary := got.list("Vary"); !slices.Equal(vary, []string{"Accept-Encoding", "Cookie"}) {
					t.Errorf("visit %d: Vary %q", i+1, vary)
				}
			}
		})
	}
}

// directives returns the directives of Cache-Control, sorted, with their names in lower case.
func (r response) directives() []string {
	all := r.list("Cache-Control")
	for i, d := range all {
		name, value, ok := strings.Cut(d, "=")
		if all[i] = strings.ToLower(name); ok {
			all[i] += "=" + value
		}
	}
	slices.Sort(all)
	return all
}

// If the application forbids caches to store the page, that stays.
func TestNoStoreStands(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.router.GET("/page", lifecycle.Handler(func(c *lifecycle.Context) {
		c.Header("Cache-Control", "no-store")
		page(c)
	}))
	s.listen()
	c := newClient(t)
	for range 2 {
		got := c.get(s.server.URL + "/page")
		if d := got.directives(); !slices.Contains(d, "no-store") || slices.Contains(d, "public") {
			t.Errorf("Cache-Control: %q", d)
		}
		if v := got.list("Vary"); !slices.Contains(v, "Cookie") {
			t.Errorf("Vary: %q", v)
		}
	}
}

// Every response has "Vary: Cookie": also one without a body, one of an error, and one that is sent
// piece by piece.
func TestEveryAnswerVaries(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	handlers := map[string]func(c *lifecycle.Context){
		"/none":     func(*lifecycle.Context) {},
		"/status":   func(c *lifecycle.Context) { c.Status(http.StatusNoContent) },
		"/redirect": func(c *lifecycle.Context) { c.Redirect(http.StatusFound, "/") },
		"/error":    func(c *lifecycle.Context) { c.AbortWithStatus(http.StatusInternalServerError) },
		"/stream": func(c *lifecycle.Context) {
			for i := range 3 {
				_, _ = fmt.Fprintln(c.Writer, i)
				c.Writer.Flush()
			}
		},
		"/flush": func(c *lifecycle.Context) { c.Writer.Flush() },
		"/now":   func(c *lifecycle.Context) { c.Writer.WriteHeaderNow() },
	}
	for path, h := range handlers {
		s.router.GET(path, lifecycle.Handler(h))
	}
	s.listen()
	for path := range handlers {
		c := newClient(t)
		for _, visit := range []string{"first", "second"} {
			if v := c.get(s.server.URL + path).list("Vary"); !slices.Contains(v, "Cookie") {
				t.Errorf("%s, %s visit: Vary %q", path, visit, v)
			}
		}
	}
}
