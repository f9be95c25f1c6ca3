package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/embedded"
)

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
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		fmt.Println("engine opened")
		err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
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
	}))
	router.GET("/logout", lifecycle.Handler(func(c *lifecycle.Context) {
		if err := c.DestroySession(); err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
		}
	}))

	// With Start, ends that happened while the application was down are handled
	// without waiting for a visitor.
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

func ExampleNewStore() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	defer client.Close()

	_, err := lifecycle.NewStore(client,
		lifecycle.WithPrefix("shop"),
		lifecycle.WithIdleTimeout(20*time.Minute),
		lifecycle.WithAbsoluteTimeout(12*time.Hour),
		lifecycle.WithSecureCookie(lifecycle.SecureAlways),
	)
	fmt.Println(err)

	_, err = lifecycle.NewStore(client, lifecycle.WithIdleTimeout(-time.Second))
	fmt.Println(err)
	// Output:
	// <nil>
	// lifecycle: WithIdleTimeout(-1s): must be from 1ms to 87600h0m0s
}

// A manager of its own, beside the default one: its middleware needs no

// sessions.Sessions before it.

func ExampleNew() {
	client, err := embedded.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	store, err := lifecycle.NewStore(client)
	if err != nil {
		log.Fatal(err)
	}
	manager, err := lifecycle.New(store, lifecycle.WithSessionName("admin"))
	if err != nil {
		log.Fatal(err)
	}
	defer shutdown(manager)

	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", func(c *gin.Context) { c.String(http.StatusOK, "hello") })

	response := visit(router, "/")
	fmt.Println(response.Body, response.Result().Cookies()[0].Name)
	// Output: hello admin
}

// The session begins, and its created hooks run, before the handler. A second

// request with the cookie takes it up.

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

// From gives a plain gin handler what Handler gives one of its own kind.

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

func ExampleContext_Session() {
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		s := c.Session()
		fmt.Println("live for", s.ExpiresAt.Sub(s.LastSeenAt))
		if err := c.DestroySession(); err != nil {
			log.Print(err)
		}
		fmt.Println("after its end:", c.Session())
	}))

	visit(router, "/")
	// Output:
	// live for 30m0s
	// after its end: <nil>
}

// The hooks of one session run last registered first, as deferred calls do, and

// before the global ones.

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
			err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
				fmt.Println("close", name)
				return nil
			})
			if err != nil { // the hook will not run: release it now
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

// A login gives the session a new secret. The ID, the values and the hooks stay;

// the cookie from before is worth nothing.

func ExampleContext_RotateSession() {
	manager, stop := newManager()
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		c.String(http.StatusOK, c.Session().ID)
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
	fmt.Println("same session with the old cookie:", visit(router, "/", before...).Body.String() == id)
	// Output:
	// same session with the new cookie: true
	// same session with the old cookie: false
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

// While created hooks run, the whole request is at hand. What is kept of it, for

// hooks that run later, is Session.Request.

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

// A destroyed hook gets the reason of the end and the values as last saved.

func ExampleManager_OnSessionDestroyed() {
	manager, stop := newManager(lifecycle.WithIdleTimeout(500 * time.Millisecond))
	defer stop()
	ended := make(chan *lifecycle.Session, 1)
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		ended <- s
		return nil
	})
	visit(shop(manager), "/set?user=ann")

	s := <-ended // nobody comes back: the session ends by itself
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

// With lazy creation a visitor who leaves nothing behind has no session.

// A created hook that is required can refuse the session, and so the request.

// JSON is readable for other programs. Numbers come back as float64.

// compressed is a Codec of the application's own: gob, compressed.

// A logout by gin-contrib's own means: a MaxAge below zero, then Save.

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

// A session of its own age: the cookie and the idle timeout are 30 days. The

// absolute timeout must leave room for it.

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
		s := c.Session()
		fmt.Println("idle timeout:", s.ExpiresAt.Sub(s.LastSeenAt))
	}))

	cookie := visit(router, "/login").Result().Cookies()[0]
	fmt.Println("cookie:", time.Duration(cookie.MaxAge)*time.Second)
	// Output:
	// idle timeout: 720h0m0s
	// cookie: 720h0m0s
}

// Sessions can be ended from outside, with a reason of the application's own.

// Start handles the ends that happened while no instance was running.

// At shutdown the hooks that handlers of this instance have registered run; the

// session lives on, and so the global hooks do not.

// A hook that fails is called again after a pause; those that have succeeded are

// not.

// A slow request does not revive a session that has ended meanwhile.

func init() { gin.SetMode(gin.ReleaseMode) }

// quiet keeps the log of hooks that fail on purpose out of the test's output.

var quiet = lifecycle.WithLogger(slog.New(slog.DiscardHandler))

// newManager returns a manager with a store on an in-process Redis; stop ends

// both.

func newManager(opts ...lifecycle.Option) (manager *lifecycle.Manager, stop func()) {
	client, err := embedded.Start()
	if err != nil {
		log.Fatal(err)
	}
	store, err := lifecycle.NewStore(client, opts...)
	if err != nil {
		log.Fatal(err)
	}
	manager, err = lifecycle.New(store)
	if err != nil {
		log.Fatal(err)
	}
	return manager, func() {
		shutdown(manager)
		_ = client.Close()
	}
}

func shutdown(manager *lifecycle.Manager) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := manager.Shutdown(ctx); err != nil {
		log.Print(err)
	}
}

// shop is a router whose handlers set the session's user and answer with its ID

// (/set?user=...), answer with the user (/get), and destroy it (/logout).

func shop(manager *lifecycle.Manager) *gin.Engine {
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/set", lifecycle.Handler(func(c *lifecycle.Context) {
		session := sessions.Default(c.Context)
		session.Set("user", c.Query("user"))
		if err := session.Save(); err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
			return
		}
		c.String(http.StatusOK, c.Session().ID)
	}))
	router.GET("/get", func(c *gin.Context) {
		c.String(http.StatusOK, "%v", sessions.Default(c).Get("user"))
	})
	router.GET("/logout", destroy)
	return router
}

func destroy(c *gin.Context) {
	if err := lifecycle.From(c).DestroySession(); err != nil {
		c.AbortWithStatus(http.StatusServiceUnavailable)
	}
}

// visit sends a GET request with cookies and returns what came back.

func visit(router *gin.Engine, path string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	return send(router, http.MethodGet, path, cookies...)
}

func send(router *gin.Engine, method, path string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, path, nil)
	for _, cookie := range cookies {
		request.AddCookie(cookie)
	}
	response := httptest.NewRecorder()
	router.ServeHTTP(response, request)
	return response
}
