package integrations

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Server-sent events, with gin's c.Stream: the cookie of a first visit comes with the first
// event, and the session lives as long as the stream.
func TestWithStream(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"the first visit": true, "a visitor with a session": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, lifecycle.WithIdleTimeout(shortIdle))
			s.use(s.m.Middleware())
			next := make(chan string, 10)
			s.router.GET("/events", lifecycle.Handler(func(c *lifecycle.Context) {
				c.SSEvent("session", idOf(c))
				c.Writer.Flush()
				c.Stream(func(io.Writer) bool {
					select {
					case text := <-next:
						c.Values().Set("last", text)
						if err := c.Values().Save(); err != nil {
							text = err.Error()
						}
						c.SSEvent("text", text)
						return true
					case <-c.Request.Context().Done():
						return false
					}
				})
			}))
			b := newBrowser(t, s.serve())
			if !first {
				b.ok("/")
				b.ok("/") // the cookie comes back
			}
			resp := b.open(http.MethodGet, "/events", nil)
			defer func() { _ = resp.Body.Close() }()
			events := make(chan string, 10)
			go func() {
				for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
					if text, ok := strings.CutPrefix(lines.Text(), "data:"); ok {
						events <- text
					}
				}
			}()
			id := redistest.Receive(t, events)
			if id == "" || b.cookie("session") == "" {
				t.Fatal("the session has no cookie at the browser")
			}
			passes(t)
			s.quiet()
			next <- "hello"
			if got := redistest.Receive(t, events); got != "hello" {
				t.Errorf("the event is %s", got)
			}
			_ = resp.Body.Close()
			if x := s.nextEnded(); x.ID != id || x.Reason != lifecycle.ReasonIdleTimeout || x.Get("last") != "hello" {
				t.Errorf("ended: %s, %s, %v", x.ID, x.Reason, x.Values())
			}
		})
	}
}
