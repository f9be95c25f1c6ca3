package suite_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// private is what the library sets as Cache-Control where the application says nothing.
const private = `no-cache="Set-Cookie", private`

// Every response depends on the cookie and says so with Vary. A response that sets or
// removes the cookie must not be kept by a shared cache. This holds whatever the handler
// says in its own headers, before or after its change of the session, with a body or
// without.
func TestResponsesAreMarkedForCaches(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	headerPages(a)
	for said, want := range map[string]string{
		"":                                 private,
		"public":                           private,
		"public, max-age=60":               "max-age=60, " + private,
		"Public,s-maxage=60, max-age=5":    "max-age=5, " + private,
		"private":                          `private, no-cache="Set-Cookie"`,
		"no-cache":                         "no-cache, private",
		"no-store":                         "no-store",
		"max-age=0, no-store":              "max-age=0, no-store",
		`no-cache="Set-Cookie", private`:   private,
		`private="X-Other", max-age=1`:     `private="X-Other", max-age=1, ` + private,
		`community="a, public", max-age=1`: `community="a, public", max-age=1, ` + private,
	} {
		for _, when := range []string{"before", "after"} {
			for _, body := range []string{"", "text", "flush", "string", "abort"} {
				query := "?cache=" + url.QueryEscape(said) + "&when=" + when + "&body=" + body
				for _, path := range []string{"/page/read", "/page/save", "/page/rotate", "/page/destroy", "/page/logout", "/page/age"} {
					_, known := a.begin()
					checkCacheHeaders(t, a.visit(new(visitor), path+query), "new visitor, "+path+query, want, true)
					if path == "/page/read" || path == "/page/save" { // the visitor has the cookie already
						checkCacheHeaders(t, a.visit(known, path+query), "known visitor, "+path+query, said, false)
					} else {
						checkCacheHeaders(t, a.visit(known, path+query), "known visitor, "+path+query, want, true)
					}
				}
			}
		}
	}
	for said, want := range map[string]string{"Accept-Encoding": "Accept-Encoding, Cookie", "*": "*", "accept, cookie": "accept, cookie"} {
		w := a.visit(new(visitor), "/page/read?body=text&vary="+url.QueryEscape(said))
		if got := strings.Join(w.Header().Values("Vary"), ", "); got != want {
			t.Errorf("Vary %q became %q, want %q", said, got, want)
		}
	}
	// A response of the middleware itself, which refuses this request.
	b := newApp(t, a.on, a.prefix, lifecycle.WithBuckets(4))
	if w := b.visit(new(visitor), "/"); w.Code != http.StatusInternalServerError || w.Header().Get("Vary") != "Cookie" {
		t.Errorf("refused: %d, %v", w.Code, w.Header())
	}
}

// checkCacheHeaders checks the headers of a response that sets a cookie or does not.
func checkCacheHeaders(t *testing.T, w *httptest.ResponseRecorder, what, cacheControl string, setsCookie bool) {
	t.Helper()
	h := w.Header()
	if got := h.Get("Cache-Control"); got != cacheControl || len(h.Values("Cache-Control")) > 1 {
		t.Errorf("%s: Cache-Control %q, want %q", what, h.Values("Cache-Control"), cacheControl)
	}
	if got := h.Values("Set-Cookie"); setsCookie != (len(got) > 0) {
		t.Errorf("%s: cookies %v", what, got)
	}
	if got := h.Values("Vary"); !slices.Equal(got, []string{"Cookie"}) {
		t.Errorf("%s: Vary %q", what, got)
	}
}

// headerPages adds pages that change the session, and set headers before or after this
// change, as their query says.
func headerPages(a *app) {
	for name, change := range map[string]func(*lifecycle.Context) error{
		"read":    func(*lifecycle.Context) error { return nil },
		"save":    func(c *lifecycle.Context) error { return save(c, "k", "v") },
		"rotate":  func(c *lifecycle.Context) error { return c.RotateSession() },
		"destroy": func(c *lifecycle.Context) error { return c.DestroySession() },
		"logout":  logout,
		"age":     func(c *lifecycle.Context) error { return saveWith(c, sessions.Options{MaxAge: 60}) },
	} {
		a.get("/page/"+name, func(c *lifecycle.Context) {
			set := func() {
				if v := c.Query("cache"); v != "" {
					c.Header("Cache-Control", v)
				}
				if v := c.Query("vary"); v != "" {
					c.Header("Vary", v)
				}
			}
			if c.Query("when") == "before" {
				set()
			}
			if err := change(c); err != nil {
				a.t.Errorf("%s: %v", name, err)
			}
			if c.Query("when") != "before" {
				set()
			}
			switch c.Query("body") {
			case "text":
				c.String(http.StatusOK, "page")
			case "flush":
				c.Writer.Flush()
			case "string":
				_, _ = c.Writer.WriteString("page")
			case "abort":
				c.AbortWithStatus(http.StatusNotFound)
			}
		})
	}
}

// A store without the middleware of lifecycle marks the response in Save.
func TestBareStoreMarksItsCookie(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	w := a.bare().visit(new(visitor), "/set?k=v")
	if h := w.Header(); w.Code != http.StatusOK || h.Get("Vary") != "Cookie" || h.Get("Cache-Control") != private {
		t.Errorf("%d, header %v", w.Code, h)
	}
}

// A cache inside the application keeps the response to the first visitor and repeats it
// for others. The library removes the first visitor's cookie from these responses. It does
// not remove cookies of the same name that the application sets itself.
func TestAnotherVisitorsCookieIsDropped(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	var kept http.Header
	a.get("/cached", func(c *lifecycle.Context) {
		for k, lines := range kept {
			for _, line := range lines {
				c.Writer.Header().Add(k, line)
			}
		}
		c.String(http.StatusOK, "page")
		kept = c.Writer.Header().Clone()
	})
	a.get("/own", func(c *lifecycle.Context) {
		c.SetCookie("session", "", -1, "/old", "", false, true)
		c.SetCookie("sessions", "x", 0, "/", "", false, true)
		c.SetCookie("session", "not a token", 0, "/other", "", false, true)
	})
	first, second := new(visitor), new(visitor)
	a.ok(first, "/cached")
	w := a.visit(second, "/cached")
	if lines := w.Header().Values("Set-Cookie"); len(lines) != 1 || second.cookie == first.cookie {
		t.Errorf("the second visitor got %v", lines)
	}
	_, known := a.begin()
	if w := a.visit(known, "/cached"); len(w.Header().Values("Set-Cookie")) != 0 {
		t.Errorf("a known visitor got %v", w.Header().Values("Set-Cookie"))
	}
	if w := a.visit(known, "/own"); len(w.Header().Values("Set-Cookie")) != 3 {
		t.Errorf("cookies that the application sets: %v, want three", w.Header().Values("Set-Cookie"))
	}
}

// Behind the middleware a handler can still stream and hijack, with the methods of
// gin.ResponseWriter and with http.ResponseController.
func TestResponseIsStillAResponse(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.get("/stream", func(c *lifecycle.Context) {
		c.String(http.StatusOK, "a")
		if err := http.NewResponseController(c.Writer).Flush(); err != nil {
			t.Error(err)
		}
		c.String(http.StatusOK, "b")
	})
	a.get("/hijack", func(c *lifecycle.Context) {
		conn, _, err := c.Writer.Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"))
		_ = conn.Close()
	})
	b := newBrowser(t, a.serve())
	if got := b.ok("/stream"); got != "ab" {
		t.Errorf("stream: %q", got)
	}
	if got := b.ok("/hijack"); got != "ok" {
		t.Errorf("hijack: %q", got)
	}
}
