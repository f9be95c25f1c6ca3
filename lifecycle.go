package lifecycle

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle/internal/hook"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Manager runs hooks for the sessions of one store. The package-level functions
// act on the default manager, which takes the store of its first request or of
// Start, and the options given to NewStore; New makes others.
//
// A manager is an instance: it claims ends, so that of all instances on the same
// prefix one runs the hooks of an end. Its methods are safe for concurrent use.
type Manager struct {
	instance string
	caller   hook.Caller
	closures closures
	stats    counters
	begin    sync.Map // session ID -> chan struct{}: its created hooks run
	claims   atomic.Uint64

	mu        sync.Mutex
	created   []Hook
	destroyed []Hook
	serving   bool // no more hooks

	closed atomic.Bool // by Shutdown; set with mu held

	// Set once, before started.
	store   *Store
	config  config
	log     *slog.Logger
	started atomic.Pointer[background]

	mismatched sync.Once // the log says so

	shutdown sync.Once
	stopped  error // of the shutdown
}

func newManager() *Manager {
	return &Manager{instance: strings.ToLower(rand.Text()[:16])}
}

// New returns a manager for store, with the options given to NewStore and opts,
// which may be those for managers. Its Middleware needs no sessions.Sessions
// before it. The error names the option that is wrong.
func New(store *Store, opts ...Option) (*Manager, error) {
	if store == nil {
		return nil, errors.New("lifecycle: New: a store is needed")
	}
	m := newManager()
	c := store.config
	c.notForNew = ""
	if err := c.apply(opts); err != nil {
		return nil, err
	}
	if c.notForNew != "" {
		return nil, fmt.Errorf("lifecycle: New: %s is an option of the store, give it to NewStore", c.notForNew)
	}
	if err := store.checkCookie(c.sessionName, *store.options.Load()); err != nil {
		return nil, fmt.Errorf("lifecycle: New: WithSessionName: %w", err)
	}
	m.bind(store, c)
	return m, nil
}

// bind gives the manager its store. The caller holds mu or has the only reference.
func (m *Manager) bind(store *Store, c config) {
	m.store, m.config, m.log = store, c, c.logger()
}

var std = newManager()

// Default returns the manager that the package-level functions act on.
func Default() *Manager { return std }

// OnSessionCreated registers a created hook with the default manager; see
// Manager.OnSessionCreated.
func OnSessionCreated(h Hook) { std.OnSessionCreated(h) }

// OnSessionDestroyed registers a destroyed hook with the default manager; see
// Manager.OnSessionDestroyed.
func OnSessionDestroyed(h Hook) { std.OnSessionDestroyed(h) }

// Middleware returns the default manager's middleware. It belongs behind
// sessions.Sessions with a *Store; see Manager.Middleware.
func Middleware() gin.HandlerFunc { return std.Middleware() }

// Start starts the default manager's background work on store; see
// Manager.Start.
func Start(ctx context.Context, store *Store) error {
	if store == nil {
		return errors.New("lifecycle: Start: a store is needed")
	}
	return std.start(ctx, store)
}

// Shutdown ends the default manager's background work; see Manager.Shutdown.
func Shutdown(ctx context.Context) error { return std.Shutdown(ctx) }

// OnSessionCreated registers a hook that is called for every session that
// begins, once, in the request that began it and before the request's handler.
// Hooks are called in the order of their registration. The error or panic of one
// is logged and stops neither the others nor the request, unless
// WithCreatedHooksRequired is set.
//
// It panics if h is nil or serving has begun: a hook registered by a handler
// would pile up with every request.
func (m *Manager) OnSessionCreated(h Hook) { m.register("OnSessionCreated", &m.created, h) }

// OnSessionDestroyed registers a hook that is called for every session that
// ends, on one instance of the fleet: the one that claimed the end. Hooks are
// called in the order of their registration; those that return an error, panic
// or run out of time are called again later (see WithRetry), the others are not,
// unless another instance has to take over. If an instance or Redis dies at the
// wrong moment a hook runs again for the same end: Session.ID is the idempotency
// key.
//
// It panics if h is nil or serving has begun: a hook registered by a handler
// would pile up with every request. In a handler use Context.OnSessionDestroyed.
func (m *Manager) OnSessionDestroyed(h Hook) { m.register("OnSessionDestroyed", &m.destroyed, h) }

func (m *Manager) register(name string, list *[]Hook, h Hook) {
	if h == nil {
		panic("lifecycle: " + name + ": the hook is nil")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.serving {
		panic("lifecycle: " + name + " was called after serving had begun: register hooks before router.Run, " +
			"or use c.OnSessionDestroyed in a handler for clean-up of that one session")
	}
	*list = append(*list, h)
}

// Start starts the background work, so that ends which happened while the
// application was down are handled without waiting for a visitor. Without it the
// first request starts it. ctx bounds the start only; Shutdown ends the work.
//
// The background work begins by looking how Redis is set up, and logs what of it
// the promises cannot hold with; that is no error of Start.
//
// It returns ErrUnavailable if Redis cannot be reached, in which case the first
// request tries again, ErrBucketMismatch, or ErrShutdown. Called again it does
// nothing.
func (m *Manager) Start(ctx context.Context) error {
	m.mu.Lock()
	store := m.store
	m.mu.Unlock()
	if store == nil {
		return errors.New("lifecycle: the default manager has no store yet: use lifecycle.Start(ctx, store)")
	}
	return m.start(ctx, store)
}

func (m *Manager) start(ctx context.Context, store *Store) error {
	if err := m.serve(store); err != nil || m.started.Load() != nil {
		return err
	}
	// Without the lock: with Redis away, requests must not queue up here.
	if err := store.ledger.Open(ctx); err != nil {
		m.mismatch(err)
		return unavailable("start", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return ErrShutdown
	}
	if m.started.Load() == nil {
		m.started.Store(startBackground(m))
	}
	return nil
}

// mismatch logs, once, that the prefix has another number of buckets: every
// request fails then, or, if it was founded anew since, no end is found.
func (m *Manager) mismatch(err error) bool {
	is := errors.Is(err, ErrBucketMismatch)
	if is {
		m.mismatched.Do(func() {
			m.log.Error("lifecycle: this instance cannot look after the sessions of its prefix", "error", err)
		})
	}
	return is
}

// serve gives the manager its store and ends the registration of hooks.
func (m *Manager) serve(store *Store) error {
	if m.started.Load() != nil && m.store == store && !m.closed.Load() {
		return nil // the common case, without the lock
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.store == nil {
		m.bind(store, store.config)
	}
	if m.store != store {
		return errors.New("lifecycle: this manager serves another store: make a manager of its own for each with lifecycle.New")
	}
	m.serving = true
	if m.closed.Load() {
		return ErrShutdown
	}
	return nil
}

// Shutdown ends the background work: it takes no more claims, gives those
// whose hooks have not begun back to the other instances, waits for running hooks
// until ctx ends, and runs what is left of this instance's OnSessionDestroyed
// hooks of handlers, with ReasonShutdown.
//
// When ctx ends first the contexts of running hooks end too, their claims are given
// back as far as Redis takes them, and ctx's error is returned. A hook that ignores
// its context is left behind. OnSessionDestroyed hooks that have not begun are
// started all the same, with a context that has ended: in their order for a
// quarter of a second, then all at once. How long Shutdown takes beyond ctx does
// not grow with the number of sessions: a moment for the hooks and, while Redis does
// not answer, a few times WithRedisTimeout.
//
// Shut the HTTP server down first: a request that comes later is served, but its
// Context.OnSessionDestroyed returns ErrShutdown. Shutdown may be called again,
// and returns the same, and before Start, after which there is no Start.
func (m *Manager) Shutdown(ctx context.Context) error {
	m.mu.Lock()
	m.serving = true
	m.closed.Store(true)
	bg := m.started.Load()
	m.mu.Unlock()
	if bg == nil {
		m.closures.close() // empty: it only refuses new ones
		return nil
	}
	m.shutdown.Do(func() {
		if err := bg.stop(ctx); err != nil {
			m.stopped = fmt.Errorf("lifecycle: shutdown: %w", err)
		}
	})
	return m.stopped
}

// lease returns what a claim at the moment of the end needs, or a lease without
// a token if this instance takes no claims.
func (m *Manager) lease() ledger.ClaimTerms {
	if m == nil {
		return ledger.ClaimTerms{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() || m.started.Load() == nil {
		return ledger.ClaimTerms{}
	}
	return ledger.ClaimTerms{
		Token: fmt.Sprintf("%s:d%d", m.instance, m.claims.Add(1)),
		Lease: m.config.lease,
	}
}
