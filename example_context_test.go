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
)

func ExampleHandler() {
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		c.String(http.StatusOK, "an ID has %d characters", len(c.Session().ID))
	}))

	fmt.Println(visit(router, "/").Body)
	// Output: an ID has 22 characters
}

// From gives a plain gin handler the same Context that Handler passes on.
func ExampleFrom() {
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", func(c *gin.Context) {
		session := lifecycle.From(c).Session()
		c.String(http.StatusOK, "began with %s %s", session.Request.Method, session.Request.URI)
	})

	fmt.Println(visit(router, "/").Body)
	// Output: began with GET /
}

// The next page after the end of a session says why it ended.
func ExampleContext_Previous() {
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		if last, ok := c.Previous(); ok {
			c.String(http.StatusOK, "your last session has ended: %s", last.Reason)
			return
		}
		c.String(http.StatusOK, c.Session().ID)
	}))

	first := visit(router, "/")
	if err := manager.Destroy(context.Background(), first.Body.String(), "logged in elsewhere"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(visit(router, "/", first.Result().Cookies()...).Body)
	// Output: your last session has ended: logged in elsewhere
}

func ExampleContext_Session() {
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		s := c.Session()
		fmt.Println("live for", s.ExpiresAt.Sub(s.LastSeenAt).Round(time.Second))
		if err := c.DestroySession(); err != nil {
			log.Print(err)
		}
		fmt.Println("after its end:", c.Session())
	}))

	visit(router, "/") // until the cookie comes back the session lives as long as WithUnconfirmedTimeout says
	// Output:
	// live for 5m0s
	// after its end: <nil>
}

// The hooks of one session run in reverse order of registration, as deferred calls do, and
// before the global hooks.
func ExampleContext_OnSessionDestroyed() {
	manager, stop := newManager()
	defer stop()
	ended := make(chan struct{})
	manager.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
		fmt.Println("global hook")
		close(ended)
		return nil
	})
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		for _, name := range []string{"file", "lock"} {
			fmt.Println("open", name)
			_, err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
				fmt.Println("close", name)
				return nil
			})
			if err != nil { // the hook was not registered: close the resource yourself
				fmt.Println("close", name)
			}
		}
	}))
	router.GET("/logout", destroy)

	first := visit(router, "/")
	visit(router, "/logout", first.Result().Cookies()...)
	<-ended
	// Output:
	// open file
	// open lock
	// close lock
	// close file
	// global hook
}

// A login gives the session a new secret. The ID, the values and the hooks stay; the old
// cookie is invalid from then on.
func ExampleContext_RotateSession() {
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		s := c.Session()
		if s == nil { // for a while, the old cookie gets no session, old or new
			c.String(http.StatusOK, "no session")
			return
		}
		c.String(http.StatusOK, s.ID)
	}))
	router.POST("/login", lifecycle.Handler(func(c *lifecycle.Context) {
		if err := c.RotateSession(); err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
			return
		}
		session := sessions.Default(c.Context)
		session.Set("user", "ann")
		if err := session.Save(); err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
		}
	}))

	first := visit(router, "/")
	id := first.Body.String()
	before := first.Result().Cookies()
	after := send(router, http.MethodPost, "/login", before...).Result().Cookies()

	fmt.Println("same session with the new cookie:", visit(router, "/", after...).Body.String() == id)
	late := visit(router, "/", before...)
	fmt.Println("with the old cookie:", late.Body, late.Result().Cookies())
	// Output:
	// same session with the new cookie: true
	// with the old cookie: no session []
}

func ExampleContext_DestroySession() {
	manager, stop := newManager()
	defer stop()
	ended := make(chan lifecycle.Reason, 1)
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		ended <- s.Reason
		return nil
	})
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/logout", lifecycle.Handler(func(c *lifecycle.Context) {
		if err := c.DestroySession(); err != nil && !errors.Is(err, lifecycle.ErrSessionEnded) {
			c.AbortWithStatus(http.StatusServiceUnavailable)
			return
		}
		c.String(http.StatusOK, "bye")
	}))

	response := visit(router, "/logout")
	fmt.Println(response.Body, response.Result().Cookies()[0].MaxAge)
	fmt.Println(<-ended)
	// Output:
	// bye -1
	// destroyed
}

// A logout with the API of gin-contrib/sessions: a MaxAge below 0, then Save.
func Example_logout() {
	manager, stop := newManager()
	defer stop()
	ended := make(chan lifecycle.Reason, 1)
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		ended <- s.Reason
		return nil
	})
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/logout", func(c *gin.Context) {
		session := sessions.Default(c)
		session.Options(sessions.Options{Path: "/", MaxAge: -1})
		fmt.Println(session.Save())
	})

	visit(router, "/logout")
	fmt.Println(<-ended)
	// Output:
	// <nil>
	// destroyed
}

// "Remember me": the cookie and the idle timeout of this session are 30 days. The absolute
// timeout must be at least as long.
func Example_rememberMe() {
	manager, stop := newManager(lifecycle.WithAbsoluteTimeout(365 * 24 * time.Hour))
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/login", lifecycle.Handler(func(c *lifecycle.Context) {
		session := sessions.Default(c.Context)
		session.Set("user", "ann")
		session.Options(sessions.Options{
			Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
			MaxAge: 30 * 24 * 60 * 60, // seconds
		})
		if err := session.Save(); err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
			return
		}
	}))
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		s := c.Session()
		fmt.Println("idle timeout:", s.ExpiresAt.Sub(s.LastSeenAt))
	}))

	cookie := visit(router, "/login").Result().Cookies()[0]
	visit(router, "/", cookie)
	fmt.Println("cookie:", time.Duration(cookie.MaxAge)*time.Second)
	// Output:
	// idle timeout: 720h0m0s
	// cookie: 720h0m0s
}
