package suite_test

import (
	"net/http"
	"testing"

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
