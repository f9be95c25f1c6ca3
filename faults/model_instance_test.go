package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
)

// modelInstance is an instance of the application, within this process and with
// a wire to Redis of its own, so that it can be cut off as a killed process is.
type modelInstance struct {
	m       *model
	name    string // of its connections
	id      string // under which it signs in Redis
	wire    *modelWire
	rdb     *redis.Client
	manager *lifecycle.Manager
	router  *gin.Engine
	dead    bool // killed: what its hooks still do counts no more. Guarded by m.mu.
}

// A lease never ends by itself within a run: where a holder is dead the model
// lets the lease lapse in Redis, as time would. So a slow machine makes no
// takeover that the model does not know of.
const modelLease = 10 * time.Minute

const modelBuckets = 4

// modelIdle is long enough for sessions to end only when the model says so.
const modelIdle = 30 * time.Minute

// modelUnconfirmed is how long a session lives until its cookie has come back once.
const modelUnconfirmed = 5 * time.Minute

// modelGrace is longer than any run: a rotation is remembered for all of it.
const modelGrace = time.Hour

// modelRemembered is how many rotations of a session are.
const modelRemembered = 4

// startInstance starts an instance and waits until it has signed on.
func (m *model) startInstance() *modelInstance {
	m.started++
	i := &modelInstance{m: m, name: fmt.Sprintf("instance-%d", m.started), wire: new(modelWire)}
	i.rdb = redis.NewClient(&redis.Options{
		Addr:                  m.addr,
		ClientName:            i.name,
		Dialer:                i.wire.dial,
		DialerRetries:         1,
		MaxRetries:            -1,
		ContextTimeoutEnabled: true, // else the store's clone lacks the hook
	})
	i.rdb.AddHook(modelMute{&m.muted})
	store, err := lifecycle.NewStore(i.rdb,
		lifecycle.WithPrefix(modelPrefix),
		lifecycle.WithBuckets(modelBuckets),
		lifecycle.WithIdleTimeout(modelIdle),
		lifecycle.WithUnconfirmedTimeout(modelUnconfirmed),
		lifecycle.WithRotationGrace(modelGrace),
		lifecycle.WithLease(modelLease),
		lifecycle.WithLookInterval(20*time.Millisecond),
		lifecycle.WithNotifications(m.notifications),
		lifecycle.WithConcurrency(4),
		lifecycle.WithRetry(5, time.Millisecond, time.Millisecond),
		lifecycle.WithLogger(slog.New(slog.DiscardHandler)),
		testonly.Option(testonly.Tuning{Heartbeat: 25 * time.Millisecond}).(lifecycle.Option),
	)
	m.must(err)
	i.manager, err = lifecycle.New(store)
	m.must(err)
	i.manager.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.created[s.ID]++
		return nil
	})
	i.manager.OnSessionDestroyed(i.destroyed)
	i.router = gin.New()
	i.router.Use(i.manager.Middleware())
	i.router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		c.Request.Context().Value(modelHandlerKey{}).(func(*lifecycle.Context))(c)
	}))
	m.must(i.manager.Start(m.ctx))
	m.eventually(i.name+" has signed on", func() bool {
		ids, err := m.rdb.ZRange(m.ctx, modelPrefix+":instances", 0, -1).Result()
		m.must(err)
		for _, id := range ids {
			if !m.signed[id] {
				m.signed[id] = true
				i.id = id
			}
		}
		return i.id != ""
	})
	return i
}

// modelRun is one call of a destroyed hook, with what it was told.
type modelRun struct {
	instance *modelInstance
	attempt  int
	reason   lifecycle.Reason
	values   map[any]any
	early    bool // before the created hook
}

func (i *modelInstance) run(s *lifecycle.Session) modelRun {
	return modelRun{i, s.Attempt, s.Reason, maps.Clone(s.Values()), i.m.created[s.ID] != 1}
}

func (r modelRun) String() string {
	return fmt.Sprintf("{%s, attempt %d, %q, %v}", r.instance.name, r.attempt, r.reason, r.values)
}

// destroyed is the global destroyed hook.
func (i *modelInstance) destroyed(_ context.Context, s *lifecycle.Session) error {
	m := i.m
	m.mu.Lock()
	if i.dead {
		m.mu.Unlock()
		return nil
	}
	m.destroyed[s.ID] = append(m.destroyed[s.ID], i.run(s))
	b := m.barriers[modelAttempt{s.ID, s.Attempt}]
	fails := m.failing[s.ID] && s.Attempt == 1
	m.mu.Unlock()
	if fails {
		return errModelHook
	}
	if b != nil {
		close(b.reached)
		<-b.open
	}
	return nil
}

// modelAttempt names a run of the destroyed hooks that is to stop at a barrier.
type modelAttempt struct {
	id      string
	attempt int
}

type modelBarrier struct {
	reached, open chan struct{}
	lift          func()
}

func (m *model) barrier(id string, attempt int) *modelBarrier {
	b := &modelBarrier{reached: make(chan struct{}), open: make(chan struct{})}
	b.lift = sync.OnceFunc(func() { close(b.open) })
	m.mu.Lock()
	defer m.mu.Unlock()
	m.barriers[modelAttempt{id, attempt}] = b
	return b
}

// wait waits until a run stands at the barrier.
func (b *modelBarrier) wait(m *model, what string) {
	m.eventually(what, func() bool {
		select {
		case <-b.reached:
			return true
		default:
			return false
		}
	})
}

// modelHold is a hook that a handler has registered.
type modelHold struct {
	instance *modelInstance
	known    map[any]any // what the instance knows of the session's values
	runs     []modelRun  // guarded by m.mu
	killed   bool        // with its instance
	shut     bool        // with its instance
	refused  bool        // it was not registered and must not run
	done     bool        // its run is right; what becomes of the session later does not matter
}

func (h *modelHold) hook(_ context.Context, s *lifecycle.Session) error {
	m := h.instance.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if !h.instance.dead {
		h.runs = append(h.runs, h.instance.run(s))
	}
	return nil
}

type modelHandlerKey struct{}

// visit makes a request with a cookie, or without if it is empty, and returns
// the cookie that the browser has afterwards.
func (i *modelInstance) visit(cookie string, handler func(*lifecycle.Context)) string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r = r.WithContext(context.WithValue(r.Context(), modelHandlerKey{}, handler))
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: lifecycle.DefaultSessionName, Value: cookie})
	}
	w := httptest.NewRecorder()
	i.router.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		i.m.t.Fatalf("request to %s: status %d", i.name, w.Code)
	}
	for _, c := range w.Result().Cookies() {
		cookie = c.Value
	}
	return cookie
}

// kill cuts the instance off for good, as the end of its process would, and ends
// its goroutines. It returns once Redis has seen the last of it.
func (i *modelInstance) kill() {
	m := i.m
	i.wire.cut()
	m.eventually("Redis has noticed that "+i.name+" is gone", func() bool {
		list, err := m.rdb.ClientList(m.ctx).Result()
		m.must(err)
		return !strings.Contains(list, "name="+i.name+" ")
	})
	// Not before: a hook that is not counted must not be acked.
	m.mu.Lock()
	i.dead = true
	m.mu.Unlock()
	m.liftBarriers(i)
	i.shutdown()
}

// shutdown shuts the instance down; for one that was killed it only ends what
// is left of it in this process.
func (i *modelInstance) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), modelPatience)
	defer cancel()
	if err := i.manager.Shutdown(ctx); err != nil {
		i.m.t.Errorf("shutdown of %s: %v", i.name, err)
	}
	_ = i.rdb.Close()
}

// modelWire makes the connections of an instance, and cuts them.
type modelWire struct {
	mu    sync.Mutex
	gone  bool
	conns []net.Conn
}

var (
	errModelCut  = errors.New("cut off")
	errModelHook = errors.New("the hook fails")
)

func (w *modelWire) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return nil, errModelCut
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		w.conns = append(w.conns, conn)
	}
	return conn, err
}

func (w *modelWire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	for _, c := range w.conns {
		_ = c.Close()
	}
}

// modelMute is a go-redis hook that loses what an instance publishes while on is
// true. What scripts publish comes from Redis itself and is not lost.
type modelMute struct{ on *atomic.Bool }

func (modelMute) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h modelMute) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if h.on.Load() && cmd.Name() == "publish" {
			return nil
		}
		return next(ctx, cmd)
	}
}

func (h modelMute) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		var rest []redis.Cmder
		for _, cmd := range cmds {
			if !h.on.Load() || cmd.Name() != "publish" {
				rest = append(rest, cmd)
			}
		}
		if len(rest) == 0 {
			return nil
		}
		return next(ctx, rest)
	}
}
