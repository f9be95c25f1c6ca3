package lifecycle_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/embedded"
)

// This file has no other example: pkg.go.dev shows the whole file then, with the handlers.

// The examples run on the in-process Redis of package embedded. An application
// gives NewStore a client of its server.
func Example() {
	client, err := embedded.Start() // in production: redis.NewClient(...)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	store, err := lifecycle.NewStore(client)
	if err != nil {
		log.Fatal(err)
	}

	lifecycle.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		fmt.Println("created at", s.Request.URI)
		return nil
	})
	ended := make(chan struct{})
	lifecycle.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		fmt.Printf("ended: %s, user %v\n", s.Reason, s.Get("user"))
		close(ended)
		return nil
	})

	router := gin.New()
	router.Use(sessions.Sessions("session", store))
	router.Use(lifecycle.Middleware())
	router.GET("/", lifecycle.Handler(home))
	router.GET("/logout", lifecycle.Handler(logout))

	// Start handles the sessions that ended while the application was down. Without it
	// they wait for the first request.
	ctx := context.Background()
	if err := lifecycle.Start(ctx, store); err != nil {
		log.Fatal(err)
	}

	first := visit(router, "/")
	visit(router, "/logout", first.Result().Cookies()...)
	<-ended

	if err := lifecycle.Shutdown(ctx); err != nil {
		log.Print(err)
	}
	// Output:
	// created at /
	// engine opened
	// engine closed
	// ended: destroyed, user ann
}

// home opens an engine for the visitor, has it closed when the session ends, and logs the
// visitor in.
func home(c *lifecycle.Context) {
	fmt.Println("engine opened")
	_, err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
		fmt.Println("engine closed")
		return nil
	})
	if err != nil {
		c.AbortWithStatus(http.StatusServiceUnavailable)
		return
	}
	session := sessions.Default(c.Context)
	session.Set("user", "ann")
	if err := session.Save(); err != nil {
		c.AbortWithStatus(http.StatusServiceUnavailable)
		return
	}
	c.String(http.StatusOK, "hello")
}

// logout ends the visitor's session.
func logout(c *lifecycle.Context) {
	if err := c.DestroySession(); err != nil {
		c.AbortWithStatus(http.StatusServiceUnavailable)
	}
}
