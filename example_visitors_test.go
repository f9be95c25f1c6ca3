package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// Probes and static files have no session: Redis is not asked, and shared caches may keep
// the answer.
func ExampleWithSkipper() {
	manager, stop := newManager(lifecycle.WithSkipper(func(c *gin.Context) bool {
		path := c.Request.URL.Path
		return path == "/healthz" || path == "/favicon.ico" || strings.HasPrefix(path, "/static/")
	}))
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok") })
	router.GET("/", func(c *gin.Context) { c.String(http.StatusOK, "home") })

	for _, path := range []string{"/healthz", "/"} {
		response := visit(router, path)
		fmt.Println(response.Body, "cookies:", len(response.Result().Cookies()))
	}
	// Output:
	// ok cookies: 0
	// home cookies: 1
}

// A robot never sends the cookie back: its session expires after a minute.
func ExampleWithUnconfirmedTimeout() {
	manager, stop := newManager(lifecycle.WithIdleTimeout(time.Hour), lifecycle.WithUnconfirmedTimeout(time.Minute))
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		s := c.Session()
		c.String(http.StatusOK, "%v", s.ExpiresAt.Sub(s.LastSeenAt).Round(time.Second))
	}))

	first := visit(router, "/")
	fmt.Println("first request:", first.Body)
	fmt.Println("the next one: ", visit(router, "/", first.Result().Cookies()...).Body)
	// Output:
	// first request: 1m0s
	// the next one:  1h0m0s
}

// The token of a password reset link must not be stored in Redis.
func ExampleWithRequestSummary() {
	manager, stop := newManager(lifecycle.WithRequestSummary(func(r *lifecycle.Request) {
		r.URI, _, _ = strings.Cut(r.URI, "?")
		r.ClientIP, r.UserAgent = "", ""
	}))
	defer stop()
	manager.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		fmt.Println("created by", s.Request.URI)
		return nil
	})

	visit(shop(manager), "/get?token=geheim")
	// Output: created by /get
}

// A login service posts a form back. The browser marks this request as cross-site.
func ExampleWithCrossSite() {
	manager, stop := newManager(lifecycle.WithCrossSite(func(c *gin.Context) bool {
		return c.FullPath() == "/callback" // this handler checks the state parameter
	}))
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	save := func(c *gin.Context) {
		session := sessions.Default(c)
		session.Set("user", "ann")
		if err := session.Save(); errors.Is(err, lifecycle.ErrSessionWithheld) {
			c.String(http.StatusForbidden, "refused")
			return
		}
		c.String(http.StatusOK, "saved")
	}
	router.POST("/callback", save)
	router.POST("/comment", save)

	foreign := http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
	fmt.Println("callback:", sendWith(router, http.MethodPost, "/callback", foreign).Body)
	fmt.Println("comment: ", sendWith(router, http.MethodPost, "/comment", foreign).Body)
	// Output:
	// callback: saved
	// comment:  refused
}

// A request that was under way during a login has the old cookie. It gets no session, and
// does not replace the new cookie.
func ExampleWithRotationGrace() {
	manager, stop := newManager(lifecycle.WithRotationGrace(10 * time.Second))
	defer stop()
	router := shop(manager)
	router.POST("/login", lifecycle.Handler(func(c *lifecycle.Context) {
		if err := c.RotateSession(); err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
		}
	}))

	before := visit(router, "/get").Result().Cookies()
	after := send(router, http.MethodPost, "/login", before...).Result().Cookies()
	fmt.Println("new cookies of the login:", len(after))
	fmt.Println("new cookies of the poll: ", len(visit(router, "/get", before...).Result().Cookies()))
	// Output:
	// new cookies of the login: 1
	// new cookies of the poll:  0
}

// A page whose script must know whether there is a cookie. A script that an attacker brings
// into the page can read it too.
func ExampleWithScriptAccess() {
	manager, stop := newManager(lifecycle.WithScriptAccess())
	defer stop()
	router := gin.New()
	router.Use(manager.Middleware())
	router.GET("/", func(c *gin.Context) {
		session := sessions.Default(c)
		session.Options(sessions.Options{HttpOnly: false})
		_ = session.Save()
	})

	fmt.Println("HttpOnly:", visit(router, "/").Result().Cookies()[0].HttpOnly)
	// Output: HttpOnly: false
}
