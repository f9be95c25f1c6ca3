package suite_test

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The server does not know a hijacked connection. But the context of its handler ends, and the
// closures run.
func TestRunEndsContextsOfHijackedConnections(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	events := make(chan string, 10)
	a.get("/hijack", func(c *lifecycle.Context) {
		if err := register(c, func(context.Context, *lifecycle.Session) error {
			events <- "closure"
			return nil
		}); err != nil {
			t.Error(err)
		}
		conn, _, err := c.Writer.Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		closed := make(chan bool)
		context.AfterFunc(c.Request.Context(), func() {
			events <- context.Cause(c.Request.Context()).Error()
			_ = conn.Close()
			close(closed)
		})
		_, _ = conn.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
		<-closed
	})
	r := a.run(lifecycle.WithRequestGrace(0))
	if status, _ := r.open("/hijack"); status != http.StatusNoContent {
		t.Fatalf("status %d", status)
	}
	r.stop()
	got := []string{redistest.Receive(t, events), redistest.Receive(t, events)}
	if slices.Sort(got); !slices.Equal(got, []string{"closure", "http: Server closed"}) {
		t.Errorf("got %q", got)
	}
	if err := r.stopped(); err != nil {
		t.Error(err)
	}
}
