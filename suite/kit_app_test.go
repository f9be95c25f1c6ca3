package suite_test

import (
	"context"
	"log/slog"
	"net/http"
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

// app is one instance of an application, with a store, a manager and a gin router. A
// test that needs several instances makes several apps with the same deployment and
// prefix.
type app struct {
	t         testing.TB
	on        deployment
	prefix    string
	rdb       redis.UniversalClient // the client that the application uses
	admin     redis.UniversalClient // the client with which the test reads and changes keys
	store     *lifecycle.Store
	m         *lifecycle.Manager
	router    *gin.Engine
	created   chan *lifecycle.Session // what the created hook of newApp was called with
	destroyed chan *lifecycle.Session // what the destroyed hook of newApp was called with
	log       *redistest.Log
	cut       bool // the test calls Shutdown itself and expects an error
}

// newApp makes an instance. Its hooks send the session to the channels created and
// destroyed. The instance shuts down when the test ends.
func newApp(t testing.TB, d deployment, prefix string, opts ...lifecycle.Option) *app {
	t.Helper()
	a := newAppWithoutHooks(t, d, prefix, opts...)
	a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		a.created <- s
		return nil
	})
	a.reportEnds()
	return a
}

// reportEnds registers a destroyed hook that sends the session to a.destroyed.
func (a *app) reportEnds() {
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		a.destroyed <- s
		return nil
	})
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
		log:       new(redistest.Log),
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
	a.pages()
	t.Cleanup(func() {
		if !a.cut {
			a.shutdown()
		}
	})
	return a
}

// pages adds the pages that every app has. Each of them answers with the ID of the
// session, "" if there is none, and /get answers with a value.
func (a *app) pages() {
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
}

func (a *app) get(path string, h func(*lifecycle.Context)) {
	a.router.GET(path, lifecycle.Handler(h))
}

// answer answers with the ID of the session, or with status 409 and the error.
func (a *app) answer(c *lifecycle.Context, err error) {
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

func (a *app) start() *app {
	a.t.Helper()
	if err := a.m.Start(redistest.Within(a.t)); err != nil {
		a.t.Fatal(err)
	}
	return a
}

func (a *app) shutdown() {
	a.t.Helper()
	if err := a.m.Shutdown(redistest.Within(a.t)); err != nil {
		a.t.Errorf("shutdown: %v", err)
	}
}

// end ends a session with Manager.Destroy.
func (a *app) end(id string, reason lifecycle.Reason) {
	a.t.Helper()
	if err := a.m.Destroy(redistest.Within(a.t), id, reason); err != nil {
		a.t.Fatal(err)
	}
}

// nextCreated waits until the created hook has been called once more.
func (a *app) nextCreated() *lifecycle.Session {
	a.t.Helper()
	return redistest.Receive(a.t, a.created)
}

// nextDestroyed waits until the destroyed hook has been called once more.
func (a *app) nextDestroyed() *lifecycle.Session {
	a.t.Helper()
	return redistest.Receive(a.t, a.destroyed)
}

// quiet fails the test if the destroyed hook was called and the test has not yet looked
// at it.
func (a *app) quiet() {
	a.t.Helper()
	select {
	case s := <-a.destroyed:
		a.t.Errorf("unexpected destroyed hook: session %s, reason %q", s.ID, s.Reason)
	default:
	}
}

// severe returns the lines of the log with level WARN and above.
func (a *app) severe() []string {
	var severe []string
	for line := range strings.Lines(a.log.String()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			severe = append(severe, line)
		}
	}
	return severe
}

// warned returns how many lines of the log with level WARN and above contain all of
// these words.
func (a *app) warned(words ...string) (n int) {
	for _, line := range a.severe() {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			n++
		}
	}
	return n
}

// nothing is a hook that does nothing.
func nothing(context.Context, *lifecycle.Session) error { return nil }

// mustPanic fails the test unless f panics with a text that contains want.
func mustPanic(t testing.TB, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if text, _ := recover().(string); !strings.Contains(text, want) {
			t.Errorf("panic %q, want one with %q", text, want)
		}
	}()
	f()
}

// journal collects texts in the order in which they were added.
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
