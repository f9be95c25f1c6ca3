package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/embedded"
)

// Values is the session as gin-contrib/sessions shows it.
func ExampleContext_Values() {
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		session := c.Values()
		visits, _ := session.Get("visits").(int)
		session.Set("visits", visits+1)
		if err := session.Save(); err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
			return
		}
		c.String(http.StatusOK, "visit %d", visits+1)
	}))

	first := visit(router, "/")
	fmt.Println(first.Body)
	fmt.Println(visit(router, "/", first.Result().Cookies()...).Body)
	// Output:
	// visit 1
	// visit 2
}

// A logout that greets the visitor: his session ends, and a new one begins with a flash.
func ExampleContext_RenewSession() {
	manager, stop := newManager()
	defer stop()
	ended := make(chan string, 1)
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		ended <- fmt.Sprint("the session of ", s.Get("user"), " has ended: ", s.Reason)
		return nil
	})
	router := shop(manager)
	router.GET("/bye", lifecycle.Handler(func(c *lifecycle.Context) {
		if err := c.RenewSession(); err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
			return
		}
		c.Values().AddFlash("see you soon")
		if err := c.Values().Save(); err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
		}
	}))
	router.GET("/flash", lifecycle.Handler(func(c *lifecycle.Context) {
		c.String(http.StatusOK, "%v", c.Values().Flashes())
	}))

	login := visit(router, "/set?user=ann")
	logout := visit(router, "/bye", login.Result().Cookies()...)
	fmt.Println(<-ended)
	fmt.Println(visit(router, "/flash", logout.Result().Cookies()...).Body)
	// Output:
	// the session of ann has ended: destroyed
	// [see you soon]
}

// With lazy creation, Begin begins a session for which nothing is saved yet.
func ExampleContext_Begin() {
	manager, stop := newManager(lifecycle.WithLazyCreation())
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/cart", lifecycle.Handler(func(c *lifecycle.Context) {
		fmt.Println("has a session:", c.Session() != nil)
		if err := c.Begin(); err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
			return
		}
		fmt.Println("has a session:", c.Session() != nil)
	}))

	visit(router, "/cart")
	// Output:
	// has a session: false
	// has a session: true
}

// "Remember me": the session lives for a week without a request, and for four weeks at most.
// The cookie gets an age, or it would end when the browser is closed.
func ExampleContext_SetTimeouts() {
	const day = 24 * time.Hour
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/remember", lifecycle.Handler(func(c *lifecycle.Context) {
		c.Values().Options(sessions.Options{MaxAge: int(7 * day / time.Second)})
		if err := errors.Join(c.Values().Save(), c.SetTimeouts(7*day, 28*day)); err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
		}
	}))
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		s := c.Session()
		c.String(http.StatusOK, "live for %v", s.ExpiresAt.Sub(s.LastSeenAt).Round(time.Hour))
	}))

	remembered := visit(router, "/remember")
	fmt.Println(visit(router, "/", remembered.Result().Cookies()...).Body)
	// Output: live for 168h0m0s
}

// A job that a handler has started works for the session. The session stays alive meanwhile.
func ExampleContext_KeepAlive() {
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	finished := make(chan struct{})
	router.GET("/export", lifecycle.Handler(func(c *lifecycle.Context) {
		stopKeeping, err := c.KeepAlive()
		if err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
			return
		}
		go func() { // it does not use c
			defer close(finished)
			defer stopKeeping()
			fmt.Println("exporting")
		}()
		c.Status(http.StatusAccepted)
	}))

	fmt.Println(visit(router, "/export").Code)
	<-finished
	// Unordered output:
	// 202
	// exporting
}

// A message on a connection that the HTTP server no longer knows counts as a request.
func ExampleManager_Touch() {
	manager, stop := newManager()
	defer stop()
	router := shop(manager)
	id := visit(router, "/set?user=ann").Body.String()

	ctx := context.Background()
	fmt.Println(manager.Touch(ctx, id))
	if err := manager.Destroy(ctx, id, ""); err != nil {
		log.Print(err)
	}
	fmt.Println(manager.Touch(ctx, id))
	// Output:
	// <nil>
	// lifecycle: the session has ended
}

// A page asks how much time is left. The question is no reason for the session to go on.
func ExamplePassive() {
	manager, stop := newManager()
	defer stop()
	router := shop(manager)
	router.GET("/time-left", lifecycle.Passive(), lifecycle.Handler(func(c *lifecycle.Context) {
		if c.Session() == nil {
			c.String(http.StatusOK, "signed out")
			return
		}
		c.String(http.StatusOK, "%v", time.Until(c.Session().ExpiresAt).Round(time.Minute))
	}))

	login := visit(router, "/set?user=ann")
	fmt.Println(visit(router, "/time-left", login.Result().Cookies()...).Body)
	fmt.Println(visit(router, "/time-left").Body)
	// Output:
	// 5m0s
	// signed out
}

// A created hook gives every new session its first values.
func ExampleSession_Set() {
	manager, stop := newManager()
	defer stop()
	manager.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		s.Set("user", "guest")
		return nil
	})
	router := shop(manager)

	fmt.Println(visit(router, "/get").Body)
	// Output: guest
}

// A site and its administrators have sessions of their own. The middleware of both is on the
// administrators' routes.
func ExampleManager_From() {
	site, stop := newManager(lifecycle.WithSessionName("site"))
	defer stop()
	admins, stopAdmins := newManager(lifecycle.WithSessionName("admin"), lifecycle.WithIdleTimeout(5*time.Minute))
	defer stopAdmins()
	router := gin.New()
	router.Use(site.Middleware())
	router.Group("/admin", admins.Middleware()).GET("/", func(c *gin.Context) {
		fmt.Println("two sessions:", site.From(c).Session().ID != admins.From(c).Session().ID)
		fmt.Println("the inner one:", lifecycle.From(c).Session().ID == admins.From(c).Session().ID)
	})

	for _, cookie := range visit(router, "/admin/").Result().Cookies() {
		fmt.Println(cookie.Name)
	}
	// Output:
	// two sessions: true
	// the inner one: true
	// site
	// admin
}

// The Context of Manager.Handler has the session of that manager.
func ExampleManager_Handler() {
	site, stop := newManager(lifecycle.WithSessionName("site"))
	defer stop()
	admins, stopAdmins := newManager(lifecycle.WithSessionName("admin"))
	defer stopAdmins()
	router := gin.New()
	router.Use(site.Middleware(), admins.Middleware())
	router.GET("/", site.Handler(func(c *lifecycle.Context) {
		fmt.Println(c.Session().ID == site.From(c.Context).Session().ID)
	}))

	visit(router, "/")
	// Output: true
}

// A goroutine that the handler has started goes on after the request. It can still read the
// session; to change it, it uses the manager and the session's ID.
func ExampleErrRequestOver() {
	manager, stop := newManager()
	defer stop()
	answered, done := make(chan bool), make(chan bool)
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/export", lifecycle.Handler(func(c *lifecycle.Context) {
		id := c.Session().ID
		c.Values().Set("format", "pdf")
		go func() {
			defer close(done)
			<-answered
			fmt.Println("format:", c.Values().Get("format"))
			fmt.Println("too late to save:", errors.Is(c.Values().Save(), lifecycle.ErrRequestOver))
			fmt.Println("end it:", manager.Destroy(context.Background(), id, "exported"))
		}()
	}))

	visit(router, "/export")
	close(answered)
	<-done
	// Output:
	// format: pdf
	// too late to save: true
	// end it: <nil>
}

// With sessions.SessionsMany a manager takes the session that it is told.
func ExampleWithSessionName() {
	client, err := embedded.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	store, err := lifecycle.NewStore(client)
	if err != nil {
		log.Fatal(err)
	}
	manager, err := lifecycle.New(store, lifecycle.WithSessionName("visitor"))
	if err != nil {
		log.Fatal(err)
	}
	defer shutdown(manager)
	router := gin.New()
	router.Use(sessions.SessionsMany([]string{"visitor", "cart"}, store), manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		fmt.Println(c.Values().ID() == sessions.DefaultMany(c.Context, "visitor").ID())
	}))

	visit(router, "/")
	// Output: true
}
