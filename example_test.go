package lifecycle_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"maps"
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

// A second manager beside the default one. Its middleware needs no sessions.Sessions
// before it.
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
	return sendWith(router, method, path, nil, cookies...)
}

func sendWith(router *gin.Engine, method, path string, header http.Header, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, path, nil)
	maps.Copy(request.Header, header)
	for _, cookie := range cookies {
		request.AddCookie(cookie)
	}
	response := httptest.NewRecorder()
	router.ServeHTTP(response, request)
	return response
}
