package suite_test

import (
	"context"
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

// There is no Redis at the start. Start and the first request say which address refuses
// connections, long before WithRedisTimeout. The log says it once, and once that everything
// works, when Redis has come up. The session of that request is the first one.
func TestRedisComesUpLater(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	var failure error
	a := newApp(t, onServer(t, server), redistest.Prefix(), lifecycle.WithRedisTimeout(time.Minute),
		lifecycle.WithErrorHandler(func(c *gin.Context, err error) {
			failure = err
			c.AbortWithStatus(http.StatusServiceUnavailable)
		}))
	server.Kill()
	refused := func(op string, err error) {
		t.Helper()
		if !errors.Is(err, lifecycle.ErrUnavailable) || !errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), server.Addr) {
			t.Errorf("%s: %v", op, err)
		}
	}
	refused("Start", a.m.Start(redistest.Within(t)))
	for range 3 {
		w := a.visit(new(visitor), "/")
		refused("a first request", failure)
		w2 := a.visit(&visitor{"session=AAAAAAAAAAAAAAAAAAAAAA.x"}, "/")
		if w.Code != http.StatusServiceUnavailable || w2.Code != http.StatusServiceUnavailable {
			t.Errorf("requests: %d and %d", w.Code, w2.Code)
		}
	}
	_, err := a.m.Count(redistest.Within(t))
	refused("Count", err)
	if n := a.warned(logStartWaits, server.Addr, "refused"); n != 1 || len(a.severe()) != 1 {
		t.Errorf("%d lines say that Redis is away, want one line:\n%s", n, a.log)
	}
	server.Restart(t)
	redistest.Eventually(t, "a request works", func() bool { return a.visit(new(visitor), "/").Code == http.StatusOK })
	if a.nextCreated(); strings.Count(a.log.String(), logStarted) != 1 {
		t.Errorf("the log does not say once that Redis is there:\n%s", a.log)
	}
	id, v := a.begin()
	a.ok(v, "/destroy")
	if s := a.nextDestroyed(); s.ID != id {
		t.Errorf("ended: %s, want %s", s.ID, id)
	}
}

// A wrong address is named for each kind of client. Behind a silent server, and where the
// visitor gives up, nothing is different: the time of the call is over.
func TestMissingRedisIsNamed(t *testing.T) {
	t.Parallel()
	addr := redistest.ClosedPort(t)
	for name, rdb := range map[string]redis.UniversalClient{
		"one server": redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true}),
		"Sentinel":   redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "main", SentinelAddrs: []string{addr}, ContextTimeoutEnabled: true}),
		"a cluster":  redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, ContextTimeoutEnabled: true}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() { _ = rdb.Close() }()
			a := newApp(t, onClient(rdb), redistest.Prefix(), lifecycle.WithRedisTimeout(time.Minute))
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			if err := a.m.Start(gone); !errors.Is(err, context.Canceled) || len(a.severe()) > 0 {
				t.Errorf("a Start that was cancelled: %v, and the log says\n%s", err, a.log)
			}
			if w := a.visit(new(visitor), "/"); w.Code != http.StatusServiceUnavailable || a.warned(logStartWaits, addr, "refused") != 1 {
				t.Errorf("status %d, and the log says\n%s", w.Code, a.log)
			}
		})
	}
}

// Redis accepts connections and answers nothing. The log names the address long before
// WithRedisTimeout is over, once.
func TestSilentRedisIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	rdb := redis.NewClient(&redis.Options{Addr: l.Addr().String(), ContextTimeoutEnabled: true})
	defer func() { _ = rdb.Close() }()
	a := newApp(t, onClient(rdb), redistest.Prefix(), lifecycle.WithRedisTimeout(time.Minute))
	ctx, cancel := context.WithCancel(redistest.Within(t))
	started := make(chan error, 1)
	go func() { started <- a.m.Start(ctx) }()
	redistest.Eventually(t, "the log says that the start waits", func() bool { return a.warned(logStartWaits, l.Addr().String(), "no answer") == 1 })
	cancel()
	if err := redistest.Receive(t, started); !errors.Is(err, lifecycle.ErrUnavailable) || len(a.severe()) != 1 {
		t.Errorf("Start: %v, and the log says\n%s", err, a.log)
	}
}
