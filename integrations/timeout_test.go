package integrations

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gin-contrib/timeout"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The tests of timeout are not parallel: timeout.New replaces a variable of its package, which
// its middlewares use.

// late are the handlers that run on after timeout has answered with 408.
type late struct {
	entered chan struct{}  // each has begun
	resume  chan struct{}  // is closed when they may go on
	tried   chan error     // what each of them got
	wait    sync.WaitGroup // for their end
}

func newLate(t *testing.T) *late {
	t.Helper()
	x := &late{entered: make(chan struct{}), resume: make(chan struct{}), tried: make(chan error, 100)}
	t.Cleanup(x.wait.Wait)
	return x
}

// limit is the middleware. The answer waits until the handler has begun, so that it is certain
// that the handler runs on.
func (x *late) limit() gin.HandlerFunc {
	return timeout.New(timeout.WithTimeout(time.Millisecond), timeout.WithResponse(func(c *gin.Context) {
		<-x.entered
		c.String(http.StatusRequestTimeout, "too late")
	}))
}

// handler saves a value, runs on after the answer, and then tries to use the session. The gin
// context belongs to other requests by then, so it is not touched any more. timeout would touch
// it, by c.Next, if the handler returned; so the handler ends its goroutine instead.
func (x *late) handler(try func(c *lifecycle.Context) error) gin.HandlerFunc {
	return lifecycle.Handler(func(c *lifecycle.Context) {
		x.wait.Add(1)
		defer x.wait.Done()
		c.Values().Set("early", "yes")
		err := c.Values().Save()
		x.entered <- struct{}{}
		<-x.resume
		x.tried <- errors.Join(err, try(c))
		runtime.Goexit()
	})
}

// run sends late visitors and others, and then lets the late handlers go on beside more visits
// of the others. It fails the test if another visitor's session changes.
func (x *late) run(t *testing.T, s *site, path string) (visitors []*browser) {
	t.Helper()
	server := s.serve()
	const n = 10
	var others []*browser
	ids := make(map[*browser]string)
	for range n {
		b := newBrowser(t, server)
		if p := b.get(path); p.status != http.StatusRequestTimeout || p.body != "too late" {
			t.Fatalf("answered with %d %s", p.status, p.body)
		}
		visitors = append(visitors, b)
		other := newBrowser(t, server)
		ids[other] = other.ok("/")
		others = append(others, other)
	}
	var wg sync.WaitGroup
	for _, b := range others {
		wg.Go(func() {
			for i := range 5 {
				p := b.get("/")
				if p.body != ids[b] || len(p.sent) != 0 {
					t.Errorf("another visitor: visit %d, %s instead of %s, cookies %v", i, p.body, ids[b], p.sent)
				}
			}
		})
	}
	close(x.resume)
	for range n {
		if err := redistest.Receive(t, x.tried); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	x.wait.Wait()
	return visitors
}

// mustBeOver calls everything that changes a session.
func mustBeOver(c *lifecycle.Context) error {
	_, keep := c.KeepAlive()
	_, closure := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { return nil })
	c.Values().Set("late", "yes")
	var wrong []error
	for what, err := range map[string]error{
		"Save":           c.Values().Save(),
		"RotateSession":  c.RotateSession(),
		"SetTimeouts":    c.SetTimeouts(time.Hour, 0),
		"RenewSession":   c.RenewSession(),
		"DestroySession": c.DestroySession(),
		"KeepAlive":      keep,
		"closure":        closure,
	} {
		if !errors.Is(err, lifecycle.ErrRequestOver) {
			wrong = append(wrong, fmt.Errorf("%s: %w, want ErrRequestOver", what, err))
		}
	}
	return errors.Join(wrong...)
}

// Behind the middleware: the answer is the end of the request for the session, too.
func TestWithTimeoutBehind(t *testing.T) {
	s, x := newSite(t), newLate(t)
	s.use(s.m.Middleware())
	s.router.GET("/slow", x.limit(), x.handler(mustBeOver))
	for _, b := range x.run(t, s, "/slow") {
		if early, late := b.ok("/get?key=early"), b.ok("/get?key=late"); early != "yes" || late != "<nil>" {
			t.Errorf("saved before the answer: %s, and after it: %s", early, late)
		}
	}
	s.quiet()
}

// Before the middleware: the handler's session is open until the handler returns. What it saves
// is kept, but no cookie of it reaches anybody.
func TestWithTimeoutBefore(t *testing.T) {
	s, x, saved := newSite(t), newLate(t), make(chan string, 100)
	// timeout copies the gin context while the handlers behind it run. gin allows that beside
	// all calls of Set but the first.
	first := func(c *gin.Context) { c.Set("first", true) }
	limited := s.router.Group("/limited", first, x.limit(), s.m.Middleware())
	limited.GET("/slow", x.handler(func(c *lifecycle.Context) error {
		c.Values().Set("late", "yes")
		if err := c.RotateSession(); !errors.Is(err, lifecycle.ErrHeadersWritten) {
			return fmt.Errorf("RotateSession: %w", err)
		}
		err := c.Values().Save()
		saved <- idOf(c)
		return err
	}))
	s.use(s.m.Middleware())
	for _, b := range x.run(t, s, "/limited/slow") {
		if got := b.cookie("session"); got != "" {
			t.Errorf("the visitor has the cookie %s", got)
		}
		found, err := s.m.Get(redistest.Within(t), redistest.Receive(t, saved))
		if err != nil || found.Get("late") != "yes" {
			t.Errorf("saved after the answer: %+v, %v", found, err)
		}
	}
}

// A handler that is in time: the cookies that it sets through timeout's writer and that of the
// session both reach the browser.
func TestWithTimeoutInTime(t *testing.T) {
	limit := timeout.New(timeout.WithTimeout(redistest.Patience))
	for _, order := range []string{"behind", "before"} {
		t.Run(order, func(t *testing.T) {
			s := newSite(t)
			if order == "behind" {
				s.use(s.m.Middleware(), limit)
			} else {
				s.use(limit, s.m.Middleware())
			}
			s.router.GET("/login", lifecycle.Handler(func(c *lifecycle.Context) {
				c.SetCookie("theme", "dark", 0, "/", "", false, true)
				if err := c.RotateSession(); err != nil {
					answer(c, err)
					return
				}
				c.SetCookie("lang", "de", 0, "/", "", false, true)
				c.Values().Set("user", "ann")
				answer(c, c.Values().Save())
			}))
			s.router.GET("/empty", lifecycle.Handler(func(c *lifecycle.Context) {
				c.SetCookie("theme", "dark", 0, "/", "", false, true)
				c.Status(http.StatusNoContent)
			}))
			server := s.serve()
			b := newBrowser(t, server)
			p := b.get("/login")
			if p.status != http.StatusOK || len(p.sent) != 3 {
				t.Errorf("the login: %d %v", p.status, p.sent)
			}
			if b.cookie("theme") != "dark" || b.cookie("lang") != "de" || b.ok("/") != p.body || b.ok("/get?key=user") != "ann" {
				t.Errorf("the browser has not got all cookies: %v", p.sent)
			}
			b = newBrowser(t, server)
			p = b.get("/empty")
			if p.status != http.StatusNoContent || len(p.sent) != 2 || b.cookie("theme") != "dark" || b.cookie("session") == "" {
				t.Errorf("a response without a body: %d %v", p.status, p.sent)
			}
		})
	}
}

// Before the middleware, while a created hook runs: the middleware comes to its end when gin has
// given the context to another visitor. That visitor's handler must not get the session of the
// first.
func TestWithTimeoutBeforeAndSlowHook(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := newUnstarted(t)
	s.m.OnSessionCreated(func(_ context.Context, x *lifecycle.Session) error {
		if x.Request.URI == "/slow" {
			entered <- struct{}{}
			<-leave
		}
		return nil
	})
	s.start()
	limit, middleware := timeout.New(timeout.WithTimeout(time.Millisecond), timeout.WithResponse(func(c *gin.Context) {
		<-entered
		c.String(http.StatusRequestTimeout, "too late")
	})), s.m.Middleware()
	var first *gin.Context
	returned := make(chan bool, 1)
	s.router.GET("/slow", func(c *gin.Context) {
		first = c
		c.Set("first", true) // see TestWithTimeoutBefore
	}, limit, func(c *gin.Context) {
		defer func() { returned <- true }()
		middleware(c)
		runtime.Goexit() // see handler
	})
	same, resume := make(chan struct{}), make(chan struct{})
	s.router.GET("/other", middleware, func(c *gin.Context) {
		if c == first {
			same <- struct{}{}
			<-resume
		}
		answer(lifecycle.From(c), nil)
	})
	server := s.serve()
	other := newBrowser(t, server)
	id := other.ok("/other")
	// gin's pool gives the context to the next request, mostly.
	redistest.Eventually(t, "gin has used the context for another visitor", func() bool {
		if p := newBrowser(t, server).get("/slow"); p.status != http.StatusRequestTimeout {
			t.Fatalf("answered with %d %s", p.status, p.body)
		}
		got := make(chan string, 1)
		go func() { got <- other.get("/other").body }()
		x, reused := "", false
		select {
		case <-same:
			reused = true
		case x = <-got: // with another context
		}
		leave <- struct{}{}
		redistest.Receive(t, returned)
		if reused {
			resume <- struct{}{}
			x = redistest.Receive(t, got)
		}
		if x != id {
			t.Errorf("another visitor has the session %q, want %s", x, id)
		}
		return reused
	})
}
