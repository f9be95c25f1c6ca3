package lifecycle_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// The session begins and its created hooks run before the handler. A second request, with
// the cookie, gets the same session.
func ExampleManager_Middleware() {
	manager, stop := newManager()
	defer stop()
	manager.OnSessionCreated(func(context.Context, *lifecycle.Session) error {
		fmt.Println("created")
		return nil
	})
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", func(*gin.Context) { fmt.Println("handler") })

	first := visit(router, "/")
	visit(router, "/", first.Result().Cookies()...)
	// Output:
	// created
	// handler
	// handler
}

// A created hook can read the whole request. Session.Request is what is kept of it for the
// hooks that run later.
func ExampleManager_OnSessionCreated() {
	manager, stop := newManager()
	defer stop()
	manager.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		fmt.Println(s.Request.Method, s.Request.URI, "from", s.Request.ClientIP)
		fmt.Println("over", s.HTTPRequest().Proto)
		return nil
	})
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/report", func(c *gin.Context) { c.Status(http.StatusNoContent) })

	visit(router, "/report?year=2024")
	// Output:
	// GET /report?year=2024 from 192.0.2.1
	// over HTTP/1.1
}

// A destroyed hook gets the reason of the end and the values as they were last saved.
func ExampleManager_OnSessionDestroyed() {
	manager, stop := newManager(lifecycle.WithIdleTimeout(500 * time.Millisecond))
	defer stop()
	ended := make(chan *lifecycle.Session, 1)
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		ended <- s
		return nil
	})
	visit(shop(manager), "/set?user=ann")

	s := <-ended // no further request comes: the session expires
	fmt.Println("reason:", s.Reason)
	fmt.Println("user:", s.Get("user"))
	fmt.Println("began with:", s.Request.URI)
	fmt.Println("attempt:", s.Attempt)
	// Output:
	// reason: idle timeout
	// user: ann
	// began with: /set?user=ann
	// attempt: 1
}
