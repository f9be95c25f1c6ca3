package lifecycle_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
)

func TestMain(m *testing.M) { os.Exit(redistest.Run(m)) }

// A first program: the functions of the package, with gin-contrib's middleware in front and
// a closure. The default manager is global, so this test is not parallel.
func TestFace(t *testing.T) {
	defer testonly.NewDefault()()
	rdb := redis.NewClient(&redis.Options{Addr: redistest.Shared(t), ContextTimeoutEnabled: true})
	defer func() { _ = rdb.Close() }()
	store, err := lifecycle.NewStore(rdb)
	if err != nil {
		t.Fatal(err)
	}
	router, order, ended := firstProgram(t, store)
	w := httptest.NewRecorder()
	router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?q=1", nil))
	cookies := w.Result().Cookies()
	if len(cookies) != 1 || w.Body.String() != "hello" {
		t.Fatalf("response: cookies %v, body %s", cookies, w.Body)
	}
	r := httptest.NewRequest(http.MethodGet, "/plain", nil)
	r.AddCookie(cookies[0])
	w = httptest.NewRecorder()
	router.ServeHTTP(w, r)
	id, _, _ := strings.Cut(cookies[0].Value, ".")
	if w.Body.String() != id {
		t.Errorf("session %s, want %s as in the cookie", w.Body, id)
	}
	m := lifecycle.Default()
	if err := m.Destroy(redistest.Within(t), id, "closing time"); err != nil {
		t.Fatal(err)
	}
	s := redistest.Receive(t, ended)
	if s.ID != id || s.Reason != "closing time" || s.Get("user") != "alice" {
		t.Errorf("ended: %s %s %v", s.ID, s.Reason, s.Values())
	}
	if order.String() != "created /?q=1\nclosed\ndestroyed\n" {
		t.Errorf("order of the hooks:\n%s", order)
	}
	if err := lifecycle.Start(redistest.Within(t), store); err != nil {
		t.Errorf("Start after the first request: %v", err)
	}
	for range 2 {
		if err := lifecycle.Shutdown(redistest.Within(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// firstProgram registers hooks with the default manager and returns the application's router.
// order gets a line from each hook, and ended gets the sessions that the destroyed hook is
// called with.
func firstProgram(t *testing.T, store *lifecycle.Store) (router *gin.Engine, order *redistest.Log, ended chan *lifecycle.Session) {
	t.Helper()
	order, ended = new(redistest.Log), make(chan *lifecycle.Session, 1)
	lifecycle.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		_, _ = fmt.Fprintln(order, "created", s.Request.URI)
		return nil
	})
	lifecycle.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		_, _ = fmt.Fprintln(order, "destroyed")
		ended <- s
		return nil
	})
	router = gin.New()
	router.Use(sessions.Sessions("session", store))
	router.Use(lifecycle.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		if _, err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
			_, _ = fmt.Fprintln(order, "closed")
			return nil
		}); err != nil {
			t.Error(err)
		}
		c.String(http.StatusOK, "hello")
	}))
	router.GET("/plain", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Set("user", "alice")
		if err := s.Save(); err != nil {
			t.Error(err)
		}
		c.String(http.StatusOK, lifecycle.From(c).Session().ID)
	})
	return router, order, ended
}

// The default manager has no store before the first request or Start: its calls return
// errors, and Shutdown does nothing.
func TestQueriesOfADefaultManagerWithoutAStore(t *testing.T) {
	defer testonly.NewDefault()()
	m := lifecycle.Default()
	if err := m.Start(redistest.Within(t)); err == nil {
		t.Error("Start of the manager without a store returned no error")
	}
	if _, err := m.Get(redistest.Within(t), "x"); err == nil {
		t.Error("Get without a store returned no error")
	}
	if _, err := m.Count(redistest.Within(t)); err == nil {
		t.Error("Count without a store returned no error")
	}
	if err := lifecycle.Start(redistest.Within(t), nil); err == nil {
		t.Error("Start with a nil store returned no error")
	}
	if err := lifecycle.Shutdown(redistest.Within(t)); err != nil {
		t.Error(err)
	}
}

// Hooks that are registered with the package do not run for the sessions of a manager of its
// own. The log says so when that manager starts, once, unless the default manager serves other
// sessions.
func TestHooksOfThePackageWithAnotherManager(t *testing.T) {
	hook := func(context.Context, *lifecycle.Session) error { return nil }
	const says = "do not run for the sessions of this manager"
	start := func(s *lifecycle.Store) {
		if err := lifecycle.Start(redistest.Within(t), s); err != nil {
			t.Error(err)
		}
	}
	other := func() *lifecycle.Store {
		s, err := lifecycle.NewStore(redistest.Client(t, redistest.Shared(t)), lifecycle.WithPrefix(redistest.Prefix()))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, c := range map[string]struct {
		before func(*lifecycle.Store)
		want   int
	}{
		"no hooks":       {func(*lifecycle.Store) {}, 0},
		"created hook":   {func(*lifecycle.Store) { lifecycle.OnSessionCreated(hook) }, 1},
		"destroyed hook": {func(*lifecycle.Store) { lifecycle.OnSessionDestroyed(hook) }, 1},
		"the default manager will serve": {func(*lifecycle.Store) {
			lifecycle.OnSessionDestroyed(hook)
			lifecycle.Middleware()
		}, 0},
		"the default manager serves another store": {func(*lifecycle.Store) {
			lifecycle.OnSessionDestroyed(hook)
			start(other())
		}, 0},
		"the default manager serves the same store": {func(s *lifecycle.Store) {
			lifecycle.OnSessionCreated(hook)
			start(s)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			defer testonly.NewDefault()()
			var log redistest.Log
			store, err := lifecycle.NewStore(redistest.Client(t, redistest.Shared(t)), lifecycle.WithPrefix(redistest.Prefix()),
				lifecycle.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			if err != nil {
				t.Fatal(err)
			}
			c.before(store)
			m, err := lifecycle.New(store)
			if err != nil {
				t.Fatal(err)
			}
			router := gin.New()
			router.Use(m.Middleware())
			router.GET("/", func(*gin.Context) {})
			for range 2 {
				router.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			}
			if err := m.Start(redistest.Within(t)); err != nil {
				t.Error(err)
			}
			if n := strings.Count(log.String(), says); n != c.want {
				t.Errorf("the log says %d times that the hooks of the package do not run, want %d:\n%s", n, c.want, &log)
			}
			for _, m := range []*lifecycle.Manager{m, lifecycle.Default()} {
				if err := m.Shutdown(redistest.Within(t)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
