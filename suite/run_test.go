package suite_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A stream is open when Run stops. Its context ends, and then the closures run, with a
// context that lives.
func TestRunEndsStreams(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	ran, ended := a.holding(), a.stream(nil)
	r := a.run(lifecycle.WithRequestGrace(0), lifecycle.WithServerGrace(redistest.Patience))
	r.page("/closure")
	r.open("/stream")
	r.stop()
	if cause := redistest.Receive(t, ended); cause != http.ErrServerClosed.Error() {
		t.Errorf("the stream ended with the cause %q", cause)
	}
	if got := redistest.Receive(t, ran); got != "living shutdown" {
		t.Errorf("closure: %s", got)
	}
	if err := r.stopped(); err != nil {
		t.Errorf("Run: %v", err)
	}
	a.quiet() // the sessions live on
}

// A request that runs when Run stops is answered, and its context does not end before the
// time for requests is over. Closures wait for it.
func TestRunLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	release := make(chan struct{})
	ran, ended := a.holding(), a.stream(release)
	r := a.run(lifecycle.WithRequestGrace(redistest.Patience), lifecycle.WithServerGrace(redistest.Patience))
	r.page("/closure")
	status, _ := r.open("/stream")
	r.stop()
	r.refuses()
	select {
	case got := <-ran:
		t.Errorf("the closure has run before the request: %s", got)
	default:
	}
	close(release)
	if got := redistest.Receive(t, ended); got != "released" || status != http.StatusOK {
		t.Errorf("the request: %d, %s", status, got)
	}
	if got := redistest.Receive(t, ran); got != "living shutdown" {
		t.Errorf("closure: %s", got)
	}
	if err := r.stopped(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A handler ignores its context. The server's time ends, its connection is closed, and the
// hooks have their own time all the same.
func TestRunLeavesStubbornHandlers(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	ran, release, done := a.holding(), make(chan struct{}), make(chan struct{})
	a.get("/stubborn", func(c *lifecycle.Context) {
		defer close(done)
		c.String(http.StatusOK, "begun")
		c.Writer.Flush()
		<-release
	})
	r := a.run(lifecycle.WithServerGrace(50 * time.Millisecond))
	r.page("/closure")
	r.open("/stubborn")
	r.stop()
	if got := redistest.Receive(t, ran); got != "living shutdown" {
		t.Errorf("closure: %s", got)
	}
	if err := r.stopped(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "WithServerGrace") {
		t.Errorf("Run: %v", err)
	}
	close(release)
	<-done
}

// A hook takes longer than its time: Run returns that error.
func TestRunLimitsHooks(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix())
	started := make(chan struct{})
	a.m.OnSessionDestroyed(func(ctx context.Context, _ *lifecycle.Session) error {
		close(started)
		<-ctx.Done()
		return ctx.Err()
	})
	r := a.run(lifecycle.WithHookGrace(50 * time.Millisecond))
	a.end(r.page("/"), "")
	redistest.Receive(t, started)
	r.stop()
	if err := r.stopped(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run: %v", err)
	}
}

// The contexts of requests are derived from those of the application's BaseContext, and Run
// serves HTTPS with the server's TLSConfig.
func TestRunKeepsTheServersSettings(t *testing.T) {
	t.Parallel()
	certFile, keyFile, pool := certificate(t)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	type key struct{}
	for name, c := range map[string]struct {
		config *tls.Config
		opts   []lifecycle.RunOption
	}{
		"TLSConfig": {&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil},
		"files":     {nil, []lifecycle.RunOption{lifecycle.WithTLSFiles(certFile, keyFile)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), redistest.Prefix())
			a.get("/value", func(c *lifecycle.Context) { c.String(http.StatusOK, "%v", c.Request.Context().Value(key{})) })
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{
				Handler: a.router, TLSConfig: c.config,
				BaseContext: func(net.Listener) context.Context { return context.WithValue(context.Background(), key{}, "given") },
			}
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			a.cut = true
			done := make(chan error, 1)
			go func() {
				done <- a.m.Run(ctx, server, append(c.opts, lifecycle.WithListener(l))...)
			}()
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
			defer transport.CloseIdleConnections()
			b := &browser{t: t, c: http.Client{Transport: transport}}
			if got := b.ok("https://" + l.Addr().String() + "/value"); got != "given" {
				t.Errorf("the value of the application's context is %s", got)
			}
			transport.CloseIdleConnections()
			stop()
			if err := redistest.Receive(t, done); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

// Redis is away at the start. Run serves, and starts as soon as Redis is there, without a
// request.
func TestRunStartsLater(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	d := onServer(t, server)
	a := newApp(t, d, redistest.Prefix())
	server.Kill()
	r := a.run()
	redistest.Eventually(t, "the log says that the start waits", func() bool { return a.warned(logStartWaits, server.Addr) == 1 })
	if status, _ := r.open("/"); status != http.StatusServiceUnavailable {
		t.Errorf("without Redis: status %d", status)
	}
	server.Restart(t)
	redistest.Eventually(t, "the instance has started", func() bool { return a.m.Stats().Instances == 1 })
	if !a.log.Contains(logStarted) {
		t.Errorf("the log does not say that it has started:\n%s", a.log)
	}
	r.page("/")
	r.stop()
	if err := r.stopped(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// Without Redis, Run stops as well.
func TestRunStopsWithoutRedis(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: redistest.ClosedPort(t)})
	defer func() { _ = rdb.Close() }()
	a := newApp(t, onClient(rdb), redistest.Prefix())
	r := a.run()
	redistest.Eventually(t, "the log says that the start waits", func() bool { return a.warned(logStartWaits) == 1 })
	r.stop()
	if err := r.stopped(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// Run returns an error that says what is wrong, and has shut the manager down.
func TestRunFails(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	var unused [2]net.Listener
	for i := range unused {
		if unused[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	other := redistest.Prefix()
	newApp(t, shared(t), other, lifecycle.WithBuckets(4)).start()
	free := func(handler http.Handler) *http.Server { return &http.Server{Addr: "127.0.0.1:0", Handler: handler} }
	for name, c := range map[string]struct {
		prefix string
		server *http.Server
		opts   []lifecycle.RunOption
		is     error
		text   string
	}{
		"the address is taken": {server: &http.Server{Addr: taken.Addr().String()}, is: syscall.EADDRINUSE},
		"no such files":        {server: free(nil), opts: []lifecycle.RunOption{lifecycle.WithTLSFiles("missing.pem", "missing.key")}, is: syscall.ENOENT},
		"other buckets":        {prefix: other, server: free(nil), is: lifecycle.ErrBucketMismatch},
		"no server":            {opts: []lifecycle.RunOption{lifecycle.WithListener(unused[0])}, text: "the server is nil"},
		"a wrong option first": {server: free(nil), opts: []lifecycle.RunOption{lifecycle.WithHookGrace(0), lifecycle.WithListener(unused[1])}, text: "WithHookGrace(0s)"},
		"a wrong option":       {server: free(nil), opts: []lifecycle.RunOption{nil, lifecycle.WithHookGrace(0)}, text: "WithHookGrace(0s)"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.prefix == "" {
				c.prefix = redistest.Prefix()
			}
			a := newApp(t, shared(t), c.prefix)
			a.cut = true
			err := a.m.Run(redistest.Within(t), c.server, c.opts...)
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("Run: %v, want %v %s", err, c.is, c.text)
			}
			isShutDown(t, a.m)
		})
	}
	for _, l := range unused {
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener of a Run that has failed is open: %v", err)
		}
	}
}

// The listener fails while Run serves. The closures run, and Run returns the error.
func TestRunListenerFails(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	ran := a.holding()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := a.run(lifecycle.WithListener(l))
	r.addr = l.Addr().String()
	r.page("/closure")
	_ = l.Close()
	if got := redistest.Receive(t, ran); got != "living shutdown" {
		t.Errorf("closure: %s", got)
	}
	if err := r.stopped(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run: %v", err)
	}
}

// A second Run is an error. While the first one runs it changes nothing.
func TestRunTwice(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	r := a.run()
	id := r.page("/")
	if err := a.m.Run(redistest.Within(t), nil); err == nil || !strings.Contains(err.Error(), "it runs already") {
		t.Errorf("a second Run: %v", err)
	}
	a.end(id, "")
	if s := a.nextDestroyed(); s.ID != id {
		t.Errorf("ended: %s, want %s", s.ID, id)
	}
	r.stop()
	if err := r.stopped(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := a.m.Run(redistest.Within(t), nil); !errors.Is(err, lifecycle.ErrShutdown) {
		t.Errorf("Run after Run: %v", err)
	}
}

// The application shuts its server down by itself: Run shuts the manager down, too.
func TestRunAfterTheServersShutdown(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	ran := a.holding()
	r := a.run()
	r.page("/closure")
	if err := r.server.Shutdown(redistest.Within(t)); err != nil {
		t.Error(err)
	}
	if got := redistest.Receive(t, ran); got != "living shutdown" {
		t.Errorf("closure: %s", got)
	}
	if err := r.stopped(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A nil server is for a worker: it runs hooks, and returns when its context has ended.
func TestRunWithoutAServer(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	web, worker := newAppWithoutHooks(t, d, p), newApp(t, d, p)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	worker.cut = true
	done := make(chan error, 1)
	go func() { done <- worker.m.Run(ctx, nil) }()
	redistest.Eventually(t, "the worker has started", func() bool { return worker.m.Stats().Instances == 1 })
	bare := web.bare() // without a manager
	v := new(visitor)
	id := bare.ok(v, "/set?user=ann")
	bare.ok(v, "/destroy")
	if s := worker.nextDestroyed(); s.ID != id || s.Get("user") != "ann" {
		t.Errorf("ended: %s, %v", s.ID, s.Get("user"))
	}
	stop()
	if err := redistest.Receive(t, done); err != nil {
		t.Errorf("Run: %v", err)
	}
	isShutDown(t, worker.m)
}

// The listener fails before Redis is there: Run returns.
func TestRunListenerFailsWithoutRedis(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: redistest.ClosedPort(t)})
	defer func() { _ = rdb.Close() }()
	a := newApp(t, onClient(rdb), redistest.Prefix())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := a.run(lifecycle.WithListener(l))
	redistest.Eventually(t, "the start waits", func() bool { return a.warned(logStartWaits) == 1 })
	_ = l.Close()
	if err := r.stopped(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run: %v", err)
	}
}

// Redis accepts connections and answers nothing. Run serves all the same: a request is
// answered when its own time is over, and does not wait for the start.
func TestRunServesBesideASilentRedis(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	rdb := redis.NewClient(&redis.Options{Addr: silent.Addr().String(), ContextTimeoutEnabled: true})
	defer func() { _ = rdb.Close() }()
	a := newApp(t, onClient(rdb), redistest.Prefix(), lifecycle.WithRedisTimeout(time.Minute), lifecycle.WithSkipper(func(c *gin.Context) bool { return c.FullPath() == "/alive" }))
	a.get("/alive", func(c *lifecycle.Context) { c.String(http.StatusOK, "alive") })
	r := a.run()
	if got := r.page("/alive"); got != "alive" {
		t.Errorf("the page says %q", got)
	}
	r.stop()
	if err := r.stopped(); err != nil || a.warned(logStartWaits) > 1 {
		t.Errorf("Run: %v, and the log says\n%s", err, a.log)
	}
}
