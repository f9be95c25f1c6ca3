package lifecycle_test

import (
	"context"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/embedded"
)

// What the examples share.

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
