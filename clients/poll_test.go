package clients

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A visitor logs in while another request is under way. That request brings the old cookie, which
// opens no session any more when the middleware reads it. Its response comes after the login's, and
// must not replace the new cookie.
func TestPollUnderWayAtLogin(t *testing.T) {
	t.Parallel()
	for _, age := range []int{0, twelveHours} {
		t.Run(fmt.Sprintf("read after the login, MaxAge %d", age), func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.store.Options(sessions.Options{Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: age})
			h := newHold()
			s.gate = func(r *http.Request) {
				if r.URL.Path == "/poll" {
					h.wait(r)
				}
			}
			pollUnderWayAtLogin(t, s, h)
		})
	}
	t.Run("read before the login", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		h := newHold()
		s.router.GET("/poll", lifecycle.Handler(func(c *lifecycle.Context) {
			h.wait(c.Request)
			page(c)
		}))
		pollUnderWayAtLogin(t, s, h)
	})
}

// hold makes a request wait.
type hold struct {
	arrived, goOn chan struct{}
	once          sync.Once
}

func newHold() *hold { return &hold{arrived: make(chan struct{}), goOn: make(chan struct{})} }

// wait reports that a request has arrived, and waits until goOn is closed.
func (h *hold) wait(r *http.Request) {
	h.once.Do(func() { close(h.arrived) })
	select {
	case <-h.goOn:
	case <-r.Context().Done():
	}
}

// pollUnderWayAtLogin logs a visitor in while another request of the same visitor waits in h.
func pollUnderWayAtLogin(t *testing.T, s *shop, h *hold) {
	t.Helper()
	s.login("/login")
	s.listen()
	v := visit(t)
	first := v.open(s.url("/"))
	old := v.cookie("session").Value
	run[any](v, `void (window.poll = fetch("/poll").then(r => r.text()))`)
	redistest.Receive(t, h.arrived)
	in := v.post("/login")
	fresh := v.cookie("session").Value
	if in != (who{first.ID, "alice"}) || fresh == old {
		t.Fatalf("the login shows %+v, was %+v; another cookie: %v", in, first, fresh != old)
	}
	close(h.goOn)
	run[any](v, `window.poll.then(() => true)`)
	poll := s.got(1, "GET", "/poll")[0]
	if poll.Cookie != "session="+old {
		t.Fatal("the poll did not bring the old cookie")
	}
	if lines := poll.setCookies(); len(lines) != 0 {
		t.Errorf("the response to the poll sets %d cookies", len(lines))
	}
	if got := v.cookie("session").Value; got != fresh {
		t.Error("the browser does not have the cookie of the login any more")
	}
	v.wantWho(s.url("/"), in)
	s.wantSessions(1)
}
