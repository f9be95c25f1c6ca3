package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strconv"
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

// instanceEnv makes the test binary an instance; it holds its setup as JSON.
const instanceEnv = "LIFECYCLE_FAULTS_INSTANCE"

// setup is what an instance is told.
type setup struct {
	Redis     string            // address
	Sentinels []string          // instead of Redis
	Cluster   []string          // instead of Redis
	Via       map[string]string // the way to an address of Sentinel's, if it is another one
	Prefix    string
	Buckets   int
	Journal   string

	Idle         time.Duration
	Lease        time.Duration
	Look         time.Duration
	RedisTimeout time.Duration
	RetryPause   time.Duration // between the tries of a call to Redis; 0 for the client's default
	HookTimeout  time.Duration
	Heartbeat    time.Duration
	Skew         time.Duration // of the instance's clock
	Concurrency  int
	Attempts     int
	Backoff      time.Duration // between attempts, at least; at most eight times as long
	Ask          int           // of how many sessions the hooks of one ask whether it lives; 0: of none
}

// instance is an application: what the child process runs.
type instance struct {
	setup
	rdb     redis.UniversalClient
	store   *lifecycle.Store
	manager *lifecycle.Manager
	router  *gin.Engine
	admin   *gin.Engine // the same under another cookie's name
	journal *journal
	points  failpoints

	mu     sync.Mutex
	gate   chan struct{} // what hooks with do=block and do=hang wait for
	opened bool
}

// runInstance is the main function of a child process. It prints its address,
// serves until SIGTERM, and returns its exit code.
func runInstance() int {
	in := &instance{gate: make(chan struct{})}
	if err := in.run(); err != nil {
		fmt.Fprintln(os.Stderr, "instance:", err)
		return 1
	}
	// A closed pool of go-redis may be dialling a dead server for another second.
	var leak error
	if poll(patience, func() bool { leak = goleak.Find(); return leak == nil }) != nil {
		fmt.Fprintln(os.Stderr, "instance:", leak)
		return 3
	}
	return 0
}

func (in *instance) run() error {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
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

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: in.handler(), ReadHeaderTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	// Without Redis the first request starts the work, as in any application.
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
	signal.Stop(term)
	return err
}

func (in *instance) connect() {
	switch {
	case len(in.Cluster) > 0:
		c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: in.Cluster, ContextTimeoutEnabled: true})
		// Of each node: the library calls them one by one, too.
		c.OnNewNode(func(node *redis.Client) { node.AddHook(&in.points) })
		in.rdb = c
		return
	case len(in.Sentinels) > 0:
		in.rdb = redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: redistest.SentinelMaster, SentinelAddrs: in.Sentinels, ContextTimeoutEnabled: true, Dialer: in.dial,
		})
	default:
		in.rdb = redis.NewClient(&redis.Options{
			Addr: in.Redis, ContextTimeoutEnabled: true,
			ReadTimeout: patience, WriteTimeout: patience, // the library's own bound must do
			MinRetryBackoff: in.RetryPause, MaxRetryBackoff: in.RetryPause,
		})
	}
	in.rdb.AddHook(&in.points)
}

// dial goes the way that the test has laid to an address.
func (in *instance) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if via, ok := in.Via[addr]; ok {
		addr = via
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return dialer.DialContext(ctx, network, addr)
}

func (in *instance) manage() error {
	tuning := testonly.Tuning{Heartbeat: in.Heartbeat}
	if in.Skew != 0 {
		tuning.Now = func() time.Time { return time.Now().Add(in.Skew) }
	}
	var err error
	in.store, err = lifecycle.NewStore(in.rdb,
		lifecycle.WithPrefix(in.Prefix),
		lifecycle.WithBuckets(in.Buckets),
		lifecycle.WithIdleTimeout(in.Idle),
		lifecycle.WithLease(in.Lease),
		lifecycle.WithLookInterval(in.Look),
		lifecycle.WithRedisTimeout(in.RedisTimeout),
		lifecycle.WithHookTimeout(in.HookTimeout),
		lifecycle.WithConcurrency(in.Concurrency),
		lifecycle.WithRetry(in.Attempts, in.Backoff, 8*in.Backoff),
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

func (in *instance) note(k kind, s *lifecycle.Session, hook string) {
	at := time.Now()
	value, _ := s.Get(keptKey).(string)
	in.journal.write(event{at: at, kind: k, id: s.ID, hook: hook, attempt: s.Attempt, reason: string(s.Reason), ended: s.EndedAt, value: value})
}

// journalled is a destroyed hook whose runs are in the journal, and which first
// asks whether its session lives.
func (in *instance) journalled(name string, h lifecycle.Hook) lifecycle.Hook {
	return func(ctx context.Context, s *lifecycle.Session) (err error) {
		in.note(started, s, name)
		outcome := failed // unless it gets to its end
		defer func() { in.note(outcome, s, name) }()
		if in.Ask > 0 && int(s.ID[0])%in.Ask == 0 {
			if _, err := in.manager.Get(ctx, s.ID); err == nil {
				in.note(alive, s, name)
			}
		}
		if err := h(ctx, s); err != nil {
			return err
		}
		outcome = done
		return nil
	}
}

// behave does what the session's first request asked for: "/?do=error&n=2" fails
// in the first two attempts, "/?do=block&from=2&n=3" blocks in the next two.
func (in *instance) behave(ctx context.Context, s *lifecycle.Session) error {
	r, err := http.NewRequest(http.MethodGet, s.Request.URI, http.NoBody)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	from, _ := strconv.Atoi(q.Get("from"))
	n, _ := strconv.Atoi(q.Get("n"))
	if s.Attempt < from || s.Attempt > n {
		return nil
	}
	switch q.Get("do") {
	case "error":
		return fmt.Errorf("attempt %d was to fail", s.Attempt)
	case "panic":
		panic(fmt.Sprintf("attempt %d was to panic", s.Attempt))
	case "hang": // beyond the end of its context
		<-ctx.Done()
		in.note(failed, s, "h2") // for those who look on: it counts as that from now on
		select {
		case <-in.gate:
		case <-late(q.Get("ms")):
		}
		return errors.New("too late")
	case "block":
		select {
		case <-in.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	case "slow":
		timer := time.NewTimer(20 * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	case "api":
		return in.useAPI(ctx, s)
	}
	return nil
}

// late returns what comes after so many milliseconds, never if there are none.
func late(ms string) <-chan time.Time {
	n, err := strconv.Atoi(ms)
	if err != nil {
		return nil
	}
	return time.After(time.Duration(n) * time.Millisecond)
}

// useAPI does from within a hook what an application may: begin a session, save
// it, look at it and at all, and end it; and end its own, which has ended.
func (in *instance) useAPI(ctx context.Context, s *lifecycle.Session) error {
	w := httptest.NewRecorder()
	in.router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/save?from=hook", http.NoBody).WithContext(ctx))
	id := w.Body.String()
	if w.Code != http.StatusOK {
		return fmt.Errorf("begin and save: %d %s", w.Code, id)
	}
	other, err := in.manager.Get(ctx, id)
	if err != nil || other.Get("from") != "hook" {
		return fmt.Errorf("get: %v, %w", other, err)
	}
	found := false
	for other, err := range in.manager.All(ctx) {
		if err != nil {
			return fmt.Errorf("all: %w", err)
		}
		found = found || other.ID == id
	}
	if !found {
		return errors.New("all: the new session is missing")
	}
	if err := in.manager.Destroy(ctx, s.ID, ""); !errors.Is(err, lifecycle.ErrSessionEnded) {
		return fmt.Errorf("destroy the hook's own session: %w", err)
	}
	return in.manager.Destroy(ctx, id, byHook)
}

func (in *instance) openGate() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.opened {
		in.opened = true
		close(in.gate)
	}
}

// withheld is the status of an answer to a request that has no session, and in which
// none may begin.
const withheld = http.StatusForbidden

// adminName is the name of the cookie of what is under adminPath.
const (
	adminName = "admin"
	adminPath = "/admin"
)

// routes are what visitors see. Each answers with the session's ID.
func (in *instance) routes(before ...gin.HandlerFunc) *gin.Engine {
	router := gin.New()
	router.Use(append(before, in.manager.Middleware())...)
	get := func(path string, do func(c *lifecycle.Context) error) {
		router.Match([]string{http.MethodGet, http.MethodPost, http.MethodOptions}, path, lifecycle.Handler(func(c *lifecycle.Context) {
			s := c.Session()
			if s == nil {
				c.String(withheld, lifecycle.ErrSessionWithheld.Error())
				return
			}
			id := s.ID
			if err := do(c); err != nil {
				status := http.StatusServiceUnavailable
				if errors.Is(err, lifecycle.ErrSessionEnded) {
					status = http.StatusGone
				}
				c.String(status, err.Error())
				return
			}
			c.String(http.StatusOK, id)
		}))
	}
	get("/", func(*lifecycle.Context) error { return nil })
	get("/save", func(c *lifecycle.Context) error {
		s := sessions.Default(c.Context)
		for k, v := range c.Request.URL.Query() {
			s.Set(k, v[0])
		}
		return s.Save()
	})
	get("/hold", func(c *lifecycle.Context) error {
		n, s := c.Query("n"), c.Session()
		err := c.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
			in.note(closure, s, n)
			return nil
		})
		if err == nil {
			in.note(held, s, n)
		}
		return err
	})
	get("/rotate", func(c *lifecycle.Context) error { return c.RotateSession() })
	get("/destroy", func(c *lifecycle.Context) error { return c.DestroySession() })
	return router
}

// handler adds what the test asks for, beside the visitors.
func (in *instance) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", in.router)
	mux.Handle(adminPath+"/", http.StripPrefix(adminPath, in.admin))
	mux.HandleFunc("/-/stats", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(in.manager.Stats())
	})
	mux.HandleFunc("/-/arm", func(_ http.ResponseWriter, r *http.Request) { in.points.arm(r.FormValue("point")) })
	mux.HandleFunc("/-/reached", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-in.points.reached():
		case <-r.Context().Done():
			http.Error(w, "not reached", http.StatusRequestTimeout)
		}
	})
	mux.HandleFunc("/-/lose", func(_ http.ResponseWriter, r *http.Request) { in.points.reply.await(r.FormValue("script")) })
	mux.HandleFunc("/-/lost", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-in.points.reply.happened():
		case <-r.Context().Done():
			http.Error(w, "no reply was lost", http.StatusRequestTimeout)
		}
	})
	mux.HandleFunc("/-/release", func(_ http.ResponseWriter, r *http.Request) { in.points.release(r.FormValue("next")) })
	mux.HandleFunc("/-/gate", func(http.ResponseWriter, *http.Request) { in.openGate() })
	mux.HandleFunc("/-/dead", func(w http.ResponseWriter, r *http.Request) {
		for d, err := range in.manager.Dead(r.Context()) {
			if err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			_, _ = fmt.Fprintf(w, "%s %d %s\n", d.Session.ID, d.Attempts, strings.ReplaceAll(d.Error, "\n", " "))
		}
	})
	mux.HandleFunc("/-/drop", func(w http.ResponseWriter, r *http.Request) {
		if err := in.manager.DropDead(r.Context(), r.FormValue("id")); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	mux.HandleFunc("/-/warm", func(_ http.ResponseWriter, r *http.Request) {
		for range 8 { // connections at a time, to be found idle
			conn := in.rdb.(*redis.Client).Conn()
			defer func() { _ = conn.Close() }()
			_ = conn.Ping(r.Context())
		}
	})
	mux.HandleFunc("/-/end", func(w http.ResponseWriter, r *http.Request) {
		if err := in.manager.Destroy(r.Context(), r.FormValue("id"), lifecycle.Reason(r.FormValue("reason"))); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	return mux
}
