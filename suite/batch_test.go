package suite_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A handler may answer with what several routes say: each is served with a copy of the request,
// and writes a response that the visitor does not get as it is. All have the visitor's session,
// and the cookie is set by the response that he does get.
func TestBatch(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(a *app) []gin.HandlerFunc{
		"by the manager": func(*app) []gin.HandlerFunc { return nil },
		"by gin-contrib": func(a *app) []gin.HandlerFunc {
			return []gin.HandlerFunc{sessions.Sessions("session", a.store)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), redistest.Prefix())
			a.router = gin.New()
			a.router.Use(gin.Recovery())
			a.router.Use(before(a)...)
			a.router.Use(a.m.Middleware())
			a.pages()
			a.get("/batch", func(c *lifecycle.Context) {
				var all []byte
				for _, path := range []string{"/set?k=v", "/get?key=k", "/rotate"} {
					part := c.Request.Clone(c.Request.Context())
					part.URL = httptest.NewRequest(http.MethodGet, path, nil).URL
					w := httptest.NewRecorder()
					a.router.ServeHTTP(w, part)
					if w.Code != http.StatusOK {
						t.Errorf("%s: %d %s", path, w.Code, w.Body)
					}
					all = append(all, w.Body.Bytes()...)
				}
				c.Data(http.StatusOK, "text/plain", all)
			})
			v := new(visitor)
			for range 2 {
				w := a.visit(v, "/batch")
				if n := len(w.Header().Values("Set-Cookie")); w.Code != http.StatusOK || n != 1 {
					t.Fatalf("%d %q, and %d cookies are set: %v", w.Code, w.Body, n, w.Header())
				}
				if got := a.visit(v, "/get?key=k").Body.String(); got != "v" {
					t.Errorf("the next request reads %q", got)
				}
			}
		})
	}
}
