package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
)

// instanceEnv is the environment variable that makes the test binary an instance. Its
// value is the instance's setup as JSON.
const instanceEnv = "LIFECYCLE_FAULTS_INSTANCE"

// setup is the configuration that a test passes to an instance.
type setup struct {
	Redis     string            // address of a single server
	Sentinels []string          // instead of Redis: the addresses of the sentinels
	Cluster   []string          // instead of Redis: the addresses of the cluster's nodes
	Via       map[string]string // with Sentinels: which address to dial instead of the one that Sentinel gives
	User      string            // of a single server; "" is Redis's user default
	Password  string            // of a single server; "" is none
	Prefix    string
	Buckets   int
	Journal   string // path of the journal

	Idle         time.Duration
	Lease        time.Duration
	Look         time.Duration
	RedisTimeout time.Duration
	RetryPause   time.Duration // between the client's attempts at one call; 0 is go-redis's default
	HookTimeout  time.Duration
	Heartbeat    time.Duration
	Sweep        time.Duration // between two queries for all sessions with closures; 0 is the library's default
	ServesOnly   bool          // with WithoutDelivery: others run the hooks
	Skew         time.Duration // how far the instance's clock is ahead
	Concurrency  int
	Attempts     int           // at the hooks of one end
	Backoff      time.Duration // the shortest pause between these attempts; the longest is eight times that
	Ask          int           // the hooks of one session in so many ask whether the session is live; 0: no hook asks
}

// instance is the application that the child process runs.
type instance struct {
	setup
	rdb     redis.UniversalClient
	store   *lifecycle.Store
	manager *lifecycle.Manager
	router  *gin.Engine
	admin   *gin.Engine // the same pages, with a cookie of another name
	journal *journal
	points  failpoints

	mu     sync.Mutex
	gate   chan struct{} // hooks with do=block and do=hang wait until it is closed
	opened bool
}

// runInstance is the main function of a child process. It prints the instance's
// address, serves until SIGTERM, and returns the exit code of the process.
func runInstance() int {
	in := &instance{gate: make(chan struct{})}
	if err := in.run(); err != nil {
		fmt.Fprintln(os.Stderr, "instance:", err)
		return 1
	}
	// After its pool is closed, go-redis may go on dialling a dead server for a second.
	var leak error
	if redistest.Poll(patience, func() bool { leak = goleak.Find(); return leak == nil }) != nil {
		fmt.Fprintln(os.Stderr, "instance:", leak)
		return 3
	}
	return 0
}

func (in *instance) run() error {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	defer signal.Stop(term)
	if err := in.build(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: in.handler(), ReadHeaderTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	// If Redis is away, the first request starts the background work, as in any application.
	if err := in.manager.Start(context.Background()); err != nil {
		slog.Warn("start", "error", err)
	}
	fmt.Println(listener.Addr())
	select {
	case err := <-failed:
		return err
	case <-term:
	}
	in.openGate()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err = errors.Join(server.Shutdown(ctx), in.manager.Shutdown(ctx), in.rdb.Close())
	if ended := <-failed; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// build makes all parts of the instance from its setup.
func (in *instance) build() error {
	if err := json.Unmarshal([]byte(os.Getenv(instanceEnv)), &in.setup); err != nil {
		return err
	}
	var err error
	if in.journal, err = openJournal(in.Journal); err != nil {
		return err
	}
	in.points.journal = in.journal
	in.connect()
	if err := in.manage(); err != nil {
		return err
	}
	in.router = in.routes()
	in.admin = in.routes(sessions.Sessions(adminName, in.store))
	return nil
}

// connect makes the Redis client, and puts the failpoints between it and Redis.
func (in *instance) connect() {
	switch {
	case len(in.Cluster) > 0:
		c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: in.Cluster, ContextTimeoutEnabled: true})
		// Each node's client needs the hook: the library calls the nodes one by one, too.
		c.OnNewNode(func(node *redis.Client) { node.AddHook(&in.points) })
		in.rdb = c
		return
	case len(in.Sentinels) > 0:
		in.rdb = redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: redistest.SentinelMaster, SentinelAddrs: in.Sentinels, ContextTimeoutEnabled: true, Dialer: in.dial,
		})
	default:
		in.rdb = redis.NewClient(&redis.Options{
			Addr: in.Redis, Username: in.User, Password: in.Password, ContextTimeoutEnabled: true,
			ReadTimeout: patience, WriteTimeout: patience, // so that only the library's own timeout counts
			MinRetryBackoff: in.RetryPause, MaxRetryBackoff: in.RetryPause,
		})
	}
	in.rdb.AddHook(&in.points)
}

// dial connects to addr, or to the address that setup.Via names instead.
func (in *instance) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if via, ok := in.Via[addr]; ok {
		addr = via
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return dialer.DialContext(ctx, network, addr)
}

// manage makes the store and the manager, and registers the global hooks.
func (in *instance) manage() error {
	tuning := testonly.Tuning{Heartbeat: in.Heartbeat, Sweep: in.Sweep}
	if in.Skew != 0 {
		tuning.Now = func() time.Time { return time.Now().Add(in.Skew) }
	}
	var serves lifecycle.ManagerOption
	if in.ServesOnly {
		serves = lifecycle.WithoutDelivery()
	}
	var err error
	in.store, err = lifecycle.NewStore(in.rdb,
		serves,
		lifecycle.WithPrefix(in.Prefix),
		lifecycle.WithBuckets(in.Buckets),
		lifecycle.WithIdleTimeout(in.Idle),
		lifecycle.WithLease(in.Lease),
		lifecycle.WithLookInterval(in.Look),
		lifecycle.WithRedisTimeout(in.RedisTimeout),
		lifecycle.WithHookTimeout(in.HookTimeout),
		lifecycle.WithConcurrency(in.Concurrency),
		lifecycle.WithRetry(in.Attempts, in.Backoff, 8*in.Backoff),
		lifecycle.WithMaxValuesSize(0),
		lifecycle.WithRequestHeaders(forgedHeader),
		lifecycle.WithErrorHandler(func(c *gin.Context, err error) { c.String(http.StatusServiceUnavailable, err.Error()) }),
		testonly.Option(tuning).(lifecycle.Option),
	)
	if err != nil {
		return err
	}
	in.manager, err = lifecycle.New(in.store)
	if err != nil {
		return err
	}
	in.manager.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		in.note(created, s, "c1")
		return nil
	})
	in.manager.OnSessionDestroyed(in.journalled("h1", func(_ context.Context, s *lifecycle.Session) error {
		if s.Attempt == 1 && strings.Contains(s.Request.URI, "first=block") {
			<-in.gate
		}
		return nil
	}))
	in.manager.OnSessionDestroyed(in.journalled("h2", in.behave))
	return nil
}
