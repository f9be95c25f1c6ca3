package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// A browser connects to a stream again and again. Each request registers the closure; with
// a key there is one of them in the end.
func ExampleKey() {
	manager, stop := newManager()
	defer stop()
	ended := make(chan struct{})
	manager.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
		close(ended)
		return nil
	})
	requests := 0
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/stream", lifecycle.Handler(func(c *lifecycle.Context) {
		requests++
		request := requests
		_, err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
			fmt.Println("seat A1 is free, says the closure of request", request)
			return nil
		}, lifecycle.Key("seat:A1"))
		if err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
		}
	}))
	router.GET("/logout", destroy)

	cookies := visit(router, "/stream").Result().Cookies()
	visit(router, "/stream", cookies...)
	visit(router, "/stream", cookies...)
	fmt.Println("closures:", manager.Stats().Closures)
	visit(router, "/logout", cookies...)
	<-ended
	// Output:
	// closures: 1
	// seat A1 is free, says the closure of request 3
}

// A file belongs to the process, a seat to the session. At the shutdown the file is closed,
// and the visitor keeps the seat.
func ExampleNotAtShutdown() {
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		_, fileErr := c.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
			fmt.Println("close the file:", s.Reason)
			return nil
		})
		_, seatErr := c.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
			fmt.Println("free the seat:", s.Reason)
			return nil
		}, lifecycle.Key("seat:A1"), lifecycle.NotAtShutdown())
		if err := errors.Join(fileErr, seatErr); err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
		}
	}))

	visit(router, "/")
	if err := manager.Shutdown(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: close the file: shutdown
}

// What the closure would release has been released before the session ends: take the
// closure back.
func ExampleContext_OnSessionDestroyed_remove() {
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		release := func() { fmt.Println("released") }
		remove, err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
			release()
			return nil
		})
		if err != nil {
			release()
			c.AbortWithStatus(http.StatusServiceUnavailable)
			return
		}
		fmt.Println("in use")
		if remove() { // false: the session has ended meanwhile, and the closure releases it
			release()
		}
	}))

	visit(router, "/")
	fmt.Println("closures:", manager.Stats().Closures)
	// Output:
	// in use
	// released
	// closures: 0
}

// A goroutine that goes on after its request works until the session ends.
func ExampleContext_SessionContext() {
	manager, stop := newManager()
	defer stop()
	stopped := make(chan struct{})
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		ctx := c.SessionContext()
		go func() {
			defer close(stopped)
			<-ctx.Done()
			cause := context.Cause(ctx)
			fmt.Println("the session has ended:", errors.Is(cause, lifecycle.ErrSessionEnded))
			var ended *lifecycle.EndedError
			if errors.As(cause, &ended) {
				fmt.Println("reason:", ended.Reason)
			}
		}()
	}))
	router.GET("/logout", destroy)

	cookies := visit(router, "/").Result().Cookies()
	visit(router, "/logout", cookies...)
	<-stopped
	// Output:
	// the session has ended: true
	// reason: destroyed
}
