package integrations

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/gin-gonic/gin"
	gorillacsrf "github.com/gorilla/csrf"
	gincsrf "github.com/utrack/gin-csrf"

	"github.com/gin-lifecycle/lifecycle"
)

// transfers adds the page that must not be called by a forged form.
func transfers(s *site) {
	s.router.POST("/transfer", lifecycle.Handler(func(c *lifecycle.Context) {
		c.Values().Set("transferred", "yes")
		answer(c, c.Values().Save())
	}))
}

// gin-csrf keeps its salt among the session's values.
func TestWithGinCSRF(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.use(s.m.Middleware(), gincsrf.Middleware(gincsrf.Options{
		Secret:    "a secret of the application",
		ErrorFunc: func(c *gin.Context) { c.AbortWithStatus(http.StatusForbidden) },
	}))
	s.router.GET("/form", func(c *gin.Context) { c.String(http.StatusOK, gincsrf.GetToken(c)) })
	s.router.GET("/rotate", lifecycle.Handler(func(c *lifecycle.Context) { answer(c, c.RotateSession()) }))
	transfers(s)
	server := s.serve()
	ann, bob := newBrowser(t, server), newBrowser(t, server)
	id, token, other := ann.ok("/"), ann.ok("/form"), bob.ok("/form")
	for what, form := range map[string]url.Values{"no token": {}, "the token of another visitor": {"_csrf": {other}}} {
		if p := ann.post("/transfer", form); p.status != http.StatusForbidden {
			t.Errorf("with %s: %d %s", what, p.status, p.body)
		}
	}
	if got := ann.ok("/get?key=transferred"); got != "<nil>" {
		t.Error("a forged form was obeyed")
	}
	ann.ok("/rotate") // a login leaves forms that are open as they are
	if p := ann.post("/transfer", url.Values{"_csrf": {token}}); p.status != http.StatusOK || p.body != id {
		t.Errorf("with the token: %d %s", p.status, p.body)
	}
}

// forGin makes a middleware of net/http one of gin.
func forGin(wrap func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}

// gorilla/csrf keeps its token in a cookie of its own. Both cookies reach the browser, before
// and after the middleware, and the request that gorilla/csrf makes anew has the same session.
func TestWithGorillaCSRF(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"before", "after"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			protect := forGin(gorillacsrf.Protect([]byte("32 bytes that nobody else knows."), gorillacsrf.Path("/")))
			if order == "before" {
				s.use(protect, s.m.Middleware())
			} else {
				s.use(s.m.Middleware(), protect)
			}
			s.router.GET("/form", func(c *gin.Context) { c.String(http.StatusOK, gorillacsrf.Token(c.Request)) })
			transfers(s)
			server := httptest.NewTLSServer(s.router) // it wants the Origin or the Referer to be https
			t.Cleanup(server.Close)
			b := newBrowser(t, server)
			token, id := b.ok("/form"), b.ok("/")
			if b.cookie("session") == "" || b.cookie("_gorilla_csrf") == "" {
				t.Fatal("a cookie is missing")
			}
			if p := b.post("/transfer", nil, "Origin", server.URL); p.status != http.StatusForbidden {
				t.Errorf("without the token: %d %s", p.status, p.body)
			}
			if p := b.post("/transfer", nil, "Origin", "https://evil.example", "X-CSRF-Token", token); p.status != http.StatusForbidden {
				t.Errorf("from another site: %d %s", p.status, p.body)
			}
			if p := b.post("/transfer", nil, "Origin", server.URL, "X-CSRF-Token", token); p.status != http.StatusOK || p.body != id {
				t.Errorf("with the token: %d %s", p.status, p.body)
			}
			if got := b.ok("/get?key=transferred"); got != "yes" {
				t.Errorf("transferred: %s", got)
			}
		})
	}
}
