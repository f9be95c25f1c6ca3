package suite_test

import (
	"net/http"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The function of WithCrossSite may use the response.
func TestCrossSiteSetsHeader(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithCrossSite(func(c *gin.Context) bool {
		c.Header("X-Allowed", c.GetHeader("Origin"))
		return true
	}))
	w := a.visit(new(visitor), "/", "Sec-Fetch-Site", "cross-site", "Origin", "https://other.example")
	if w.Code != http.StatusOK || w.Body.String() == "" || w.Header().Get("X-Allowed") != "https://other.example" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
}

// It may also save the session, where the cookie's options let other sites use it. The created
// hooks run once.
func TestCrossSiteSaves(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithCrossSite(func(c *gin.Context) bool {
		s := sessions.Default(c)
		s.Set("from", c.GetHeader("Origin"))
		return s.Save() == nil
	}))
	a.store.Options(sessions.Options{Path: "/", SameSite: http.SameSiteNoneMode, Secure: true})
	id := a.visit(new(visitor), "/", "Sec-Fetch-Site", "cross-site", "Origin", "https://other.example").Body.String()
	if s := a.nextCreated(); s.ID != id || len(a.created) != 0 {
		t.Errorf("created hook for %s, want %s; and %d more", s.ID, id, len(a.created))
	}
}
