package suite_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

const private = `no-cache="Set-Cookie", private`

// Every response depends on the cookie, and says so; one that sets or takes away a cookie
// must not be kept by a shared cache. Whatever the application says, before or after, with
// a body or without.
func TestResponsesAreMarkedForCaches(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	page := func(path string, do func(*lifecycle.Context) error) {
		a.get(path, func(c *lifecycle.Context) {
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
			if err := do(c); err != nil {
				t.Errorf("%s: %v", path, err)
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
	page("/page/read", func(*lifecycle.Context) error { return nil })
	page("/page/save", func(c *lifecycle.Context) error { return save(c, "k", "v") })
	page("/page/rotate", func(c *lifecycle.Context) error { return c.RotateSession() })
	page("/page/destroy", func(c *lifecycle.Context) error { return c.DestroySession() })
	page("/page/logout", func(c *lifecycle.Context) error {
		s := sessions.Default(c.Context)
		s.Options(sessions.Options{MaxAge: -1})
		return s.Save()
	})
	page("/page/age", func(c *lifecycle.Context) error {
		s := sessions.Default(c.Context)
		s.Options(sessions.Options{MaxAge: 60})
		return s.Save()
	})
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
				query := "?cache=" + strings.NewReplacer(" ", "%20", `"`, "%22").Replace(said) + "&when=" + when + "&body=" + body
				for _, path := range []string{"/page/read", "/page/save", "/page/rotate", "/page/destroy", "/page/logout", "/page/age"} {
					_, known := a.begin()
					for visitor, v := range map[string]*visitor{"new": {}, "known": known} {
						w := a.visit(v, path+query)
						h := w.Header()
						sets := len(h.Values("Set-Cookie")) > 0
						if visitor == "known" && (path == "/page/read" || path == "/page/save") { // it has the cookie
							if sets || h.Get("Cache-Control") != said {
								t.Errorf("%s%s: %v", path, query, h)
							}
						} else if !sets || !slices.Equal(h.Values("Cache-Control"), []string{want}) {
							t.Errorf("%s of a %s visitor, %q said %s: %q, want %q, cookies %v", path, visitor, said, when, h.Values("Cache-Control"), want, h.Values("Set-Cookie"))
						}
						if got := h.Values("Vary"); !slices.Equal(got, []string{"Cookie"}) {
							t.Errorf("%s of a %s visitor: Vary %q", path, visitor, got)
						}
					}
				}
			}
		}
	}
	for said, want := range map[string]string{"Accept-Encoding": "Accept-Encoding, Cookie", "*": "*", "accept, cookie": "accept, cookie"} {
		w := a.visit(new(visitor), "/page/read?body=text&vary="+strings.ReplaceAll(said, " ", "%20"))
		if got := strings.Join(w.Header().Values("Vary"), ", "); got != want {
			t.Errorf("Vary %q became %q, want %q", said, got, want)
		}
	}
	// Where the middleware has to refuse the request as well.
	b := newApp(t, a.on, a.prefix, lifecycle.WithBuckets(4))
	if w := b.visit(new(visitor), "/"); w.Code != http.StatusInternalServerError || w.Header().Get("Vary") != "Cookie" {
		t.Errorf("refused: %d, %v", w.Code, w.Header())
	}
}

// A bare store has no middleware to look after the response, so Save does.
func TestBareStoreMarksItsCookie(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	r := gin.New()
	r.Use(sessions.Sessions("session", a.store))
	r.GET("/", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Set("k", "v")
		if err := s.Save(); err != nil {
			t.Error(err)
		}
	})
	w := (&app{t: t, router: r}).visit(new(visitor), "/")
	if h := w.Header(); h.Get("Vary") != "Cookie" || h.Get("Cache-Control") != private {
		t.Errorf("header: %v", h)
	}
}

// A cache within the application that has kept the first visitor's response hands its
// cookie to nobody. What the application itself sets under the name stands.
func TestAnotherVisitorsCookieIsDropped(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
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
		t.Errorf("the application's own: %v", w.Header().Values("Set-Cookie"))
	}
}

// The middleware's response is a gin.ResponseWriter, of which http.ResponseController
// knows the inner one.
func TestResponseIsStillAResponse(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
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
	server := httptest.NewServer(a.router)
	defer server.Close()
	b := newBrowser(t, server)
	if got := b.ok("/stream"); got != "ab" {
		t.Errorf("stream: %q", got)
	}
	if got := b.ok("/hijack"); got != "ok" {
		t.Errorf("hijack: %q", got)
	}
}
