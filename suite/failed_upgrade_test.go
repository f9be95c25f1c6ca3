package suite_test

import (
	"net/http"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Where the server cannot hijack, the cookie goes out with the answer that follows.
func TestFailedUpgradeKeepsTheCookie(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.get("/upgrade", func(c *lifecycle.Context) {
		if err := c.RotateSession(); err != nil {
			t.Error(err)
		}
		func() {
			defer func() { _ = recover() }() // gin may panic where the server cannot hijack
			if _, _, err := c.Writer.Hijack(); err == nil {
				t.Error("hijacked")
			}
		}()
		c.String(http.StatusNotImplemented, "no")
	})
	id, v := a.begin()
	before := v.cookie
	if w := a.visit(v, "/upgrade"); v.cookie == before {
		t.Errorf("status %d, the cookie was not sent", w.Code)
	}
	if got := a.ok(v, "/"); got != id {
		t.Errorf("session %q, want %q", got, id)
	}
}
