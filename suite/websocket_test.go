package suite_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A request for a WebSocket begins no session by itself: nobody knows whether the client gets the
// cookie. A handler can begin one, and a session that is there is the request's.
func TestWebSocketBeginsNoSession(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.get("/begin", func(c *lifecycle.Context) {
		if _, err := c.OnSessionDestroyed(nothing); !errors.Is(err, lifecycle.ErrNoSession) {
			t.Errorf("without a session: %v", err)
		}
		a.answer(c, c.Begin())
	})
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "WebSocket"}
	v := new(visitor)
	if w := a.visit(v, "/", upgrade...); w.Code != http.StatusOK || w.Body.String() != "" || v.cookie != "" || len(a.created) > 0 {
		t.Errorf("a session began: %s, cookie %q", w.Body, v.cookie)
	}
	id := a.visit(v, "/begin", upgrade...).Body.String()
	if s := a.nextCreated(); s.ID != id || v.cookie == "" {
		t.Errorf("created: %s, cookie %q", s.ID, v.cookie)
	}
	if w := a.visit(v, "/", upgrade...); w.Body.String() != id {
		t.Errorf("the session is %s, want %s", w.Body, id)
	}
	// What old clients send to ask for HTTP/2 is no WebSocket.
	if w := a.visit(new(visitor), "/", "Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c"); w.Body.String() == "" {
		t.Error("no session began")
	}
}
