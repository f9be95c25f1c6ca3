package suite_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	if err := checkTopology(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if os.Getenv(childEnv) != "" {
		runChild()
		return
	}
	os.Exit(redistest.Run(m, leftBehind()...))
}

// patience bounds every wait. It is no expectation: what is slower than this is
// broken.
const patience = 30 * time.Second

// app is an instance of an application under test.
type app struct {
	t         testing.TB
	on        deployment
	prefix    string
	rdb       redis.UniversalClient // its own
	admin     redis.UniversalClient // for what is done behind its back
	store     *lifecycle.Store
	m         *lifecycle.Manager
	router    *gin.Engine
	created   chan *lifecycle.Session
	destroyed chan *lifecycle.Session
	log       *syncBuffer
	cut       bool // its shutdown was cut short by the test
}

// prefix returns a prefix that no other test uses.
func prefix() string { return "t" + strings.ToLower(rand.Text()[:10]) }

// newApp makes an instance on a deployment, with hooks that report to channels. It
// shuts down with the test.
func newApp(t testing.TB, d deployment, prefix string, opts ...lifecycle.Option) *app {
	t.Helper()
	a := newAppWithoutHooks(t, d, prefix, opts...)
	a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		a.created <- s
		return nil
	})
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		a.destroyed <- s
		return nil
	})
	return a
}

func newAppWithoutHooks(t testing.TB, d deployment, prefix string, opts ...lifecycle.Option) *app {
	t.Helper()
	a := &app{
		t:         t,
		on:        d,
		prefix:    prefix,
		rdb:       d.client(t, prefix),
		admin:     d.admin,
		created:   make(chan *lifecycle.Session, 100_000),
		destroyed: make(chan *lifecycle.Session, 100_000),
		log:       new(syncBuffer),
	}
	opts = slices.Concat([]lifecycle.Option{
		lifecycle.WithPrefix(prefix),
		lifecycle.WithBuckets(8),
		lifecycle.WithLogger(slog.New(slog.NewTextHandler(a.log, nil))),
		tuned(testonly.Tuning{Heartbeat: 100 * time.Millisecond}),
	}, d.opts, opts)
	var err error
	if a.store, err = lifecycle.NewStore(a.rdb, opts...); err != nil {
		t.Fatal(err)
	}
	if a.m, err = lifecycle.New(a.store); err != nil {
		t.Fatal(err)
	}
	a.router = gin.New()
	a.router.ContextWithFallback = true
	a.router.Use(a.m.Middleware())
	a.get("/", func(c *lifecycle.Context) { c.String(http.StatusOK, idOf(c)) })
	a.get("/set", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		for k, v := range c.Request.URL.Query() {
			s.Set(k, v[0])
		}
		a.answer(c, s.Save())
	})
	a.get("/get", func(c *lifecycle.Context) {
		c.String(http.StatusOK, "%v", sessions.Default(c.Context).Get(c.Query("key")))
	})
	a.get("/rotate", func(c *lifecycle.Context) { a.answer(c, c.RotateSession()) })
	a.get("/destroy", func(c *lifecycle.Context) { a.answer(c, c.DestroySession()) })
	t.Cleanup(func() {
		if !a.cut {
			a.shutdown()
		}
	})
	return a
}

func idOf(c *lifecycle.Context) string {
	if s := c.Session(); s != nil {
		return s.ID
	}
	return ""
}

func (a *app) answer(c *lifecycle.Context, err error) {
	if err != nil {
		c.String(http.StatusConflict, err.Error())
		return
	}
	c.String(http.StatusOK, idOf(c))
}

func (a *app) get(path string, h func(*lifecycle.Context)) {
	a.router.GET(path, lifecycle.Handler(h))
}

// remember makes "/remember" give the visitor's session an age of a day.
func remember(a *app) {
	a.get("/remember", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		s.Options(sessions.Options{Path: "/", MaxAge: 24 * 3600})
		a.answer(c, s.Save())
	})
}

// save saves a value.
func save(c *lifecycle.Context, key, value string) error {
	s := sessions.Default(c.Context)
	s.Set(key, value)
	return s.Save()
}

// hold makes "/hold" register a hook for the visitor's session.
func (a *app) hold(h lifecycle.Hook) {
	a.get("/hold", func(c *lifecycle.Context) { a.answer(c, c.OnSessionDestroyed(h)) })
}

func (a *app) start() *app {
	a.t.Helper()
	if err := a.m.Start(within(a.t)); err != nil {
		a.t.Fatal(err)
	}
	return a
}

func (a *app) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := a.m.Shutdown(ctx); err != nil {
		a.t.Errorf("shutdown: %v", err)
	}
}

// nextCreated and nextDestroyed wait for a hook.
func (a *app) nextCreated() *lifecycle.Session   { a.t.Helper(); return receive(a.t, a.created) }
func (a *app) nextDestroyed() *lifecycle.Session { a.t.Helper(); return receive(a.t, a.destroyed) }

// quiet fails if a destroyed hook has been reported.
func (a *app) quiet() {
	a.t.Helper()
	select {
	case s := <-a.destroyed:
		a.t.Errorf("unexpected destroyed hook: session %s, %s", s.ID, s.Reason)
	default:
	}
}

// visitor is a browser with one cookie.
type visitor struct {
	cookie string // "name=value", or ""
}

// visit requests a page and keeps the cookie that comes back.
func (a *app) visit(v *visitor, url string, header ...string) *httptest.ResponseRecorder {
	a.t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, url, nil)
	if v.cookie != "" {
		r.Header.Set("Cookie", v.cookie)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a.router.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			v.cookie = ""
		} else {
			v.cookie = c.Name + "=" + c.Value
		}
	}
	return w
}

// ok visits and fails unless the answer is 200; it returns the body.
func (a *app) ok(v *visitor, url string) string {
	a.t.Helper()
	w := a.visit(v, url)
	if w.Code != http.StatusOK {
		a.t.Fatalf("GET %s: %d %s", url, w.Code, w.Body)
	}
	return w.Body.String()
}

// begin begins a session and returns its ID and visitor.
func (a *app) begin() (string, *visitor) {
	a.t.Helper()
	v := new(visitor)
	return a.ok(v, "/"), v
}

// key returns the one key of this app that matches pattern behind the bucket.
func (a *app) key(pattern string) string {
	a.t.Helper()
	keys := a.keys(pattern)
	if len(keys) != 1 {
		a.t.Fatalf("keys %s: %v, want one", pattern, keys)
	}
	return keys[0]
}

func (a *app) keys(pattern string) []string {
	a.t.Helper()
	return a.on.keys(a.t, a.prefix+":{*}:"+pattern)
}

// del deletes keys, which a cluster has in several slots, behind the app's back.
func (a *app) del(keys ...string) {
	a.t.Helper()
	pipe := a.admin.Pipeline()
	for _, k := range keys {
		pipe.Del(within(a.t), k)
	}
	if _, err := pipe.Exec(within(a.t)); err != nil {
		a.t.Fatal(err)
	}
}

// liveKey returns the live key of a session.
func (a *app) liveKey(id string) string {
	a.t.Helper()
	return a.key("live:" + id + ":*")
}

// listens waits until an app that is alone with its prefix hears what it can be told.
func (a *app) listens() {
	a.t.Helper()
	foundation := a.admin.Get(within(a.t), a.prefix+":buckets").Val()
	var buckets int
	if _, err := fmt.Sscan(foundation, &buckets); err != nil {
		a.t.Fatalf("buckets: %q, %v", foundation, err)
	}
	eventually(a.t, "it listens", func() bool {
		return a.m.Stats().Notifications == a.on.notifications && len(a.on.channels(a.t, a.prefix+":{*}:wake")) == buckets
	})
}

// within returns a context that ends with the test's patience.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// eventually polls until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// syncBuffer is a log.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func contains(b *syncBuffer, text string) bool { return strings.Contains(b.String(), text) }

// zAt is an entry of the due-index.
func zAt(id string, at float64) redis.Z { return redis.Z{Member: id, Score: at} }

// journal collects texts in order.
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
