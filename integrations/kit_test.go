package integrations

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// site is an application with a store, a manager and a gin router. The test says which
// middlewares the router uses, and in which order.
type site struct {
	t      testing.TB
	rdb    *redis.Client
	prefix string
	store  *lifecycle.Store
	m      *lifecycle.Manager
	router *gin.Engine
	ended  chan *lifecycle.Session // what the destroyed hook was called with
}

// newSite makes an application, and starts it. It shuts down when the test ends.
func newSite(t testing.TB, opts ...lifecycle.Option) *site {
	t.Helper()
	s := newUnstarted(t, opts...)
	s.start()
	return s
}

// newUnstarted makes an application. The test may register hooks before it calls start.
func newUnstarted(t testing.TB, opts ...lifecycle.Option) *site {
	t.Helper()
	s := &site{t: t, rdb: client(t), prefix: redistest.Prefix(), router: gin.New(), ended: make(chan *lifecycle.Session, 1000)}
	var err error
	s.store, err = lifecycle.NewStore(s.rdb, slices.Concat([]lifecycle.Option{
		lifecycle.WithPrefix(s.prefix), lifecycle.WithBuckets(8), lifecycle.WithLogger(slog.New(slog.DiscardHandler)),
	}, opts)...)
	if err != nil {
		t.Fatal(err)
	}
	if s.m, err = lifecycle.New(s.store); err != nil {
		t.Fatal(err)
	}
	s.m.OnSessionDestroyed(func(_ context.Context, x *lifecycle.Session) error {
		s.ended <- x
		return nil
	})
	return s
}

func (s *site) start() {
	s.t.Helper()
	if err := s.m.Start(redistest.Within(s.t)); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := s.m.Shutdown(redistest.Within(s.t)); err != nil {
			s.t.Errorf("shutdown: %v", err)
		}
	})
}

// client returns a client of the Redis server that all tests share.
func client(t testing.TB) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: redistest.Shared(t), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// use makes the router use these middlewares, and adds pages that every site has: each
// answers with the ID of the session, "" if there is none, and /get with a value.
func (s *site) use(middlewares ...gin.HandlerFunc) *site {
	s.router.Use(middlewares...)
	s.router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) { answer(c, nil) }))
	s.router.GET("/set", lifecycle.Handler(func(c *lifecycle.Context) {
		for k, v := range c.Request.URL.Query() {
			c.Values().Set(k, v[0])
		}
		answer(c, c.Values().Save())
	}))
	s.router.GET("/get", lifecycle.Handler(func(c *lifecycle.Context) {
		c.String(http.StatusOK, "%v", c.Values().Get(c.Query("key")))
	}))
	return s
}

// answer answers with the ID of the session, or with status 409 and the error.
func answer(c *lifecycle.Context, err error) {
	if err != nil {
		c.String(http.StatusConflict, err.Error())
		return
	}
	c.String(http.StatusOK, idOf(c))
}

func idOf(c *lifecycle.Context) string {
	if s := c.Session(); s != nil {
		return s.ID
	}
	return ""
}

// serve starts a server for the router. It stops when the test ends.
func (s *site) serve() *httptest.Server { return serve(s.t, s.router) }

func serve(t testing.TB, h http.Handler) *httptest.Server {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

// nextEnded waits until the destroyed hook has been called once more.
func (s *site) nextEnded() *lifecycle.Session {
	s.t.Helper()
	return redistest.Receive(s.t, s.ended)
}

// quiet fails the test if the destroyed hook was called and the test has not looked at it.
func (s *site) quiet() {
	s.t.Helper()
	select {
	case x := <-s.ended:
		s.t.Errorf("the session %s has ended: %s", x.ID, x.Reason)
	default:
	}
}

// lives fails the test unless there are n sessions. One that has just ended still counts while
// its hooks run.
func (s *site) lives(n int) {
	s.t.Helper()
	redistest.Eventually(s.t, fmt.Sprintf("%d sessions are live", n), func() bool {
		got, err := s.m.Count(redistest.Within(s.t))
		return err == nil && got == n
	})
}

// shortIdle is an idle timeout that a test can wait for several times.
const shortIdle = 2 * time.Second

// passes waits until several idle timeouts have passed.
func passes(t testing.TB) {
	t.Helper()
	began := time.Now()
	redistest.Eventually(t, "three idle timeouts have passed", func() bool { return time.Since(began) > 3*shortIdle })
}
