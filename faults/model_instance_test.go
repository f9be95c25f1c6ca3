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

// modelInstance is an instance of the application within this process. It has connections to
// Redis of its own, which the test can cut as if the process had been killed.
type modelInstance struct {
	m       *model
	name    string // also of its connections
	id      string // in the list of instances in Redis
	wire    *modelWire
	rdb     *redis.Client
	manager *lifecycle.Manager
	router  *gin.Engine
	dead    bool // it was killed: what its hooks still do does not count. Guarded by m.mu.
}

// modelLease is longer than any history. Where the holder of a claim is dead, the model
// ends the lease in Redis. So no claim is taken over without the model, on a slow machine
// either.
const modelLease = 10 * time.Minute

const modelBuckets = 4

// modelIdle is so long that sessions time out only when the model says so.
const modelIdle = 30 * time.Minute

// modelUnconfirmed is how long a session is live until its cookie has come back once.
const modelUnconfirmed = 5 * time.Minute

// modelGrace is longer than any history: sessions remember rotations until the history ends.
const modelGrace = time.Hour

// modelRemembered is how many rotations a session remembers.
const modelRemembered = 4

// startInstance starts an instance and waits until it is in the list of instances.
func (m *model) startInstance() *modelInstance {
	m.started++
	i := &modelInstance{m: m, name: fmt.Sprintf("instance-%d", m.started), wire: new(modelWire)}
	i.rdb = redis.NewClient(&redis.Options{
		Addr:                  m.addr,
		ClientName:            i.name,
		Dialer:                i.wire.dial,
		DialerRetries:         1,
		MaxRetries:            -1,
		ContextTimeoutEnabled: true, // else the store uses a copy of the client that lacks the hook
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
	m.eventually(i.name+" is in the list of instances", func() bool {
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

// modelRun is one run of a destroyed hook, with what the hook got.
type modelRun struct {
	instance *modelInstance
	attempt  int
	reason   lifecycle.Reason
	values   map[any]any
	early    bool // the created hook had not run
}

// run returns the run of a hook that has just been called. The caller holds m.mu.
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

// modelAttempt is an attempt at an end, whose destroyed hook is to stop at a barrier.
type modelAttempt struct {
	id      string
	attempt int
}

// modelBarrier stops a hook: the hook closes reached and waits for open.
type modelBarrier struct {
	reached, open chan struct{}
	lift          func()
}

// barrier sets a barrier for an attempt at an end.
func (m *model) barrier(id string, attempt int) *modelBarrier {
	b := &modelBarrier{reached: make(chan struct{}), open: make(chan struct{})}
	b.lift = sync.OnceFunc(func() { close(b.open) })
	m.mu.Lock()
	defer m.mu.Unlock()
	m.barriers[modelAttempt{id, attempt}] = b
	return b
}

// wait waits until a hook has reached the barrier.
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

// modelHold is a hook that a handler has registered, or has tried to register.
type modelHold struct {
	instance *modelInstance
	known    map[any]any // the session's values as the instance knows them
	runs     []modelRun  // guarded by m.mu
	killed   bool        // its instance was killed
	shut     bool        // its instance was shut down
	refused  bool        // OnSessionDestroyed returned an error, so the hook must not run
	key      string      // of lifecycle.Key, "" for none
	stays    bool        // it does not run at the shutdown
	gone     bool        // it was taken back or replaced, so it must not run
	remove   func() bool // takes it back
	done     bool        // it was checked after the shutdown; what happens to the session later does not matter
}

// hook is the closure.
func (h *modelHold) hook(_ context.Context, s *lifecycle.Session) error {
	m := h.instance.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if !h.instance.dead {
		h.runs = append(h.runs, h.instance.run(s))
	}
	return nil
}

// modelHandlerKey is the key of the request's handler in its context.
type modelHandlerKey struct{}

// visit makes a request, with a cookie if cookie is not empty. It returns the cookie that the
// browser has afterwards.
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

// kill cuts the instance off for good, as a crash of its process would, and ends its
// goroutines. It returns once Redis has closed the instance's connections.
func (i *modelInstance) kill() {
	m := i.m
	i.wire.cut()
	m.eventually("Redis has closed the connections of "+i.name, func() bool {
		list, err := m.rdb.ClientList(m.ctx).Result()
		m.must(err)
		return !strings.Contains(list, "name="+i.name+" ")
	})
	// Only now: before, Redis could still get the ack of a hook that does not count.
	m.mu.Lock()
	i.dead = true
	m.mu.Unlock()
	m.liftBarriers(i)
	i.shutdown()
}

// shutdown shuts the instance down. If it was killed, that only ends its goroutines.
func (i *modelInstance) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := i.manager.Shutdown(ctx); err != nil {
		i.m.t.Errorf("shutdown of %s: %v", i.name, err)
	}
	_ = i.rdb.Close()
}

// modelWire makes the connections of an instance, and can cut them.
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

// cut closes all connections, and refuses to make others.
func (w *modelWire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	for _, c := range w.conns {
		_ = c.Close()
	}
}

// modelMute is a go-redis hook. While on is true, it loses what an instance publishes. Messages
// that scripts publish come from Redis itself and are not lost.
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
