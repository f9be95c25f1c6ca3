package lifecycle_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// What closures_test.go and sweep_test.go need. Package suite has more of it, and this
// file goes when these two do.

func shared(t testing.TB) string { return redistest.Shared(t) }

func startServer(t testing.TB) *redistest.Server { return redistest.Start(t) }

func onServer(_ testing.TB, s *redistest.Server) string { return s.Addr }

func prefix() string { return "t" + strings.ToLower(rand.Text()[:10]) }

func receive[T any](t testing.TB, ch <-chan T) T { t.Helper(); return redistest.Receive(t, ch) }

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	redistest.Eventually(t, what, ok)
}

type app struct {
	t         testing.TB
	prefix    string
	admin     *redis.Client
	m         *lifecycle.Manager
	router    *gin.Engine
	destroyed chan *lifecycle.Session
}

func newApp(t testing.TB, addr, prefix string, opts ...lifecycle.Option) *app {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	store, err := lifecycle.NewStore(rdb, append([]lifecycle.Option{
		lifecycle.WithPrefix(prefix), lifecycle.WithBuckets(8), lifecycle.WithHeartbeat(100 * time.Millisecond),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := lifecycle.New(store)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{t, prefix, redistest.Client(t, addr), m, gin.New(), make(chan *lifecycle.Session, 100)}
	m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		a.destroyed <- s
		return nil
	})
	a.router.Use(m.Middleware())
	a.get("/", func(*lifecycle.Context) error { return nil })
	a.get("/set", func(c *lifecycle.Context) error {
		s := sessions.Default(c.Context)
		s.Set("user", c.Query("user"))
		return s.Save()
	})
	t.Cleanup(a.shutdown)
	return a
}

func (a *app) get(path string, h func(*lifecycle.Context) error) {
	a.router.GET(path, lifecycle.Handler(func(c *lifecycle.Context) {
		if err := h(c); err != nil {
			c.String(http.StatusConflict, err.Error())
			return
		}
		c.String(http.StatusOK, c.Session().ID)
	}))
}

func (a *app) hold(h lifecycle.Hook) {
	a.get("/hold", func(c *lifecycle.Context) error { return c.OnSessionDestroyed(h) })
}

func (a *app) start() *app {
	a.t.Helper()
	if err := a.m.Start(within(a.t)); err != nil {
		a.t.Fatal(err)
	}
	return a
}

func (a *app) shutdown() {
	if err := a.m.Shutdown(within(a.t)); err != nil {
		a.t.Errorf("shutdown: %v", err)
	}
}

func (a *app) nextDestroyed() *lifecycle.Session { a.t.Helper(); return receive(a.t, a.destroyed) }

func (a *app) quiet() {
	a.t.Helper()
	if len(a.destroyed) > 0 {
		a.t.Errorf("unexpected destroyed hook: %+v", <-a.destroyed)
	}
}

type visitor struct{ cookie string }

func (a *app) visit(v *visitor, url string) *httptest.ResponseRecorder {
	var cookies []*http.Cookie
	if name, value, ok := strings.Cut(v.cookie, "="); ok {
		cookies = append(cookies, &http.Cookie{Name: name, Value: value})
	}
	w := visit(a.router, url, cookies...)
	for _, c := range w.Result().Cookies() {
		v.cookie = c.Name + "=" + c.Value
	}
	return w
}

func (a *app) ok(v *visitor, url string) string {
	a.t.Helper()
	w := a.visit(v, url)
	if w.Code != http.StatusOK {
		a.t.Fatalf("GET %s: %d %s", url, w.Code, w.Body)
	}
	return w.Body.String()
}

func (a *app) begin() (string, *visitor) {
	a.t.Helper()
	v := new(visitor)
	return a.ok(v, "/"), v
}

func (a *app) keys(pattern string) []string {
	a.t.Helper()
	keys, err := a.admin.Keys(within(a.t), a.prefix+":{*}:"+pattern).Result()
	if err != nil {
		a.t.Fatal(err)
	}
	return keys
}

type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, " ")
}
