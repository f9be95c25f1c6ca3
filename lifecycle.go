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
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/engine"
	"github.com/gin-lifecycle/lifecycle/internal/runner"
)

// Manager runs hooks for the sessions of one store. The package-level functions use the
// default manager; New makes others.
//
// A running manager is one instance of the fleet: all managers whose stores have the same
// Redis and the same prefix. For each ended session one instance of the fleet runs the
// global destroyed hooks.
//
// A Manager is safe for concurrent use.
type Manager struct {
	instance string
	implicit bool // the default manager: it serves the store of the session that it finds

	mu        sync.Mutex
	created   []Hook
	destroyed []Hook
	serving   bool // no more global hooks can be registered

	// Set once, by bind and serve. Whoever has called serve may read them.
	store  *Store
	config managerConfig
	log    *slog.Logger
	runner *runner.Runner[*Session]

	engine   atomic.Pointer[engine.Engine] // nil until Start, or the first request
	closed   atomic.Bool                   // by Shutdown; set with mu held
	contexts sessionContexts               // of Context.SessionContext
	starts   startLog
	wired    atomic.Bool // its Middleware was called
	unserved sync.Once   // of the default manager: the log says that its hooks do not run
	wrong    sync.Map    // what usedWrongly has logged

	running atomic.Bool // a call of Run

	shutdown sync.Once
	stopped  error // what Shutdown returns
}

func newManager() *Manager {
	return &Manager{instance: strings.ToLower(rand.Text()[:16]), config: defaultManager()}
}

func newDefault() *Manager {
	m := newManager()
	m.implicit = true
	return m
}

// New returns a manager for store. Its settings are the manager options that NewStore
// got, and opts, which replace them. Its Middleware needs no sessions.Sessions before it.
//
// New returns an error if store is nil or was not made with NewStore, or if an option is
// wrong; the error names the option.
func New(store *Store, opts ...ManagerOption) (*Manager, error) {
	if err := checkStore("New", store); err != nil {
		return nil, err
	}
	m := newManager()
	c := store.managers
	for _, o := range opts {
		if o == nil {
			continue
		}
		if err := o(&c); err != nil {
			return nil, fmt.Errorf("lifecycle: %w", err)
		}
	}
	if err := store.checkCookie(c.sessionName, *store.options.Load()); err != nil {
		return nil, fmt.Errorf("lifecycle: New: WithSessionName: %w", err)
	}
	if err := store.checkHeaders(c); err != nil {
		return nil, fmt.Errorf("lifecycle: New: %w", err)
	}
	m.bind(store, c)
	return m, nil
}

// checkStore returns an error of the function name if store cannot be used.
func checkStore(name string, store *Store) error {
	switch {
	case store == nil:
		return fmt.Errorf("lifecycle: %s: the store is nil", name)
	case store.ledger == nil:
		return fmt.Errorf("lifecycle: %s: the store was not made with lifecycle.NewStore", name)
	}
	return nil
}

// bind gives the manager its store. The caller holds mu or has the only reference.
func (m *Manager) bind(store *Store, c managerConfig) {
	m.store, m.config, m.log = store, c, c.logger()
}

// OnSessionCreated registers a hook that is called once for every session that begins.
// It is called in the request that begins the session, before the request's handler.
// Hooks are called in the order in which they were registered.
//
// If a hook returns an error or panics, the error is logged; the other hooks and the
// request go on. WithCreatedHooksRequired changes that.
//
// Register all hooks before Start, and before the first request if you do not call Start.
// OnSessionCreated panics if h is nil, or if it is called later: a handler that registers a
// hook here would add one more with every request.
func (m *Manager) OnSessionCreated(h Hook) { m.register("OnSessionCreated", &m.created, h) }

// OnSessionDestroyed registers a hook that is called for every session that ends. It is
// called on one instance of the fleet. Hooks are called in the order in which they were
// registered.
//
// A hook that returns an error, panics or runs out of time is called again later (see
// WithRetry). The hooks that have succeeded are not called again, unless another instance
// has to take over. If an instance or Redis crashes at the wrong moment, a hook may run
// again for the same end: use Session.ID to recognize that.
//
// Register all hooks before Start, and before the first request if you do not call Start.
// OnSessionDestroyed panics if h is nil, or if it is called later: a handler that registers
// a hook here would add one more with every request. In a handler use
// Context.OnSessionDestroyed.
func (m *Manager) OnSessionDestroyed(h Hook) { m.register("OnSessionDestroyed", &m.destroyed, h) }

func (m *Manager) register(name string, list *[]Hook, h Hook) {
	if h == nil {
		panic("lifecycle: " + name + ": the hook is nil")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.serving {
		panic("lifecycle: " + name + " was called too late: register hooks before lifecycle.Start and before the first request, " +
			"or use c.OnSessionDestroyed in a handler for cleanup of that one session")
	}
	*list = append(*list, h)
}

// Start starts the manager's background work: it finds ended sessions and runs their
// hooks. Call it when the program starts, so that sessions which ended while the
// application was down are handled at once. Without Start the work begins with the first
// request. ctx limits how long Start may take; it does not stop the work. Call Shutdown
// for that.
//
// Register the global hooks before Start: OnSessionCreated and OnSessionDestroyed panic
// afterwards, also if Start has returned ErrUnavailable.
//
// Start returns ErrUnavailable if Redis cannot be reached, at once if Redis refuses
// connections; the first request tries again then. It returns ErrBucketMismatch if WithBuckets does not fit the data in Redis, and
// ErrShutdown after Shutdown. The package-level Start also returns an error if the default
// manager serves another store. A second call does nothing.
//
// The background work first reads how Redis is set up, and logs any setting that breaks a
// guarantee. Such a setting is not an error of Start.
func (m *Manager) Start(ctx context.Context) error {
	m.mu.Lock()
	store := m.store
	m.mu.Unlock()
	if store == nil {
		return errNoStore
	}
	return m.start(ctx, store)
}

func (m *Manager) start(ctx context.Context, store *Store) error {
	if err := m.serve(store); err != nil || m.engine.Load() != nil {
		return err
	}
	// Without the lock: while Redis is away, requests must not queue up here.
	after, silent := slowStart(store.ledger.RefusalTime())
	slow := time.AfterFunc(after, func() { m.startFailed(silent) })
	err := store.ledger.Open(ctx)
	slow.Stop()
	if err != nil {
		err = unavailable("start", err)
		m.startFailed(err)
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return ErrShutdown
	}
	if m.engine.Load() == nil {
		c := engineConfig(m.store, &m.config, m.instance, m.runner, m.startFailed)
		c.Hookless = len(m.destroyed) == 0
		m.engine.Store(engine.Start(c))
		m.starts.begun(m.log, store.ledger.Address())
	}
	return nil
}

// startFailed logs why the background work has not started, once, if it has not.
func (m *Manager) startFailed(err error) {
	if m.engine.Load() == nil || errors.Is(err, ErrBucketMismatch) {
		m.starts.failed(m.log, m.store.ledger.Address(), err)
	}
}

// serve gives the manager its store, and ends the registration of global hooks.
func (m *Manager) serve(store *Store) error {
	if m.engine.Load() != nil && m.store == store && !m.closed.Load() {
		return nil // the common case, without the lock
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.store == nil {
		m.bind(store, store.managers)
	}
	if m.store != store {
		return errors.New("lifecycle: this manager serves another store: make a manager for each store with lifecycle.New")
	}
	m.serving = true
	if m.runner == nil {
		m.runner = runner.New(runnerConfig(m.store, &m.config, m.instance, m.created, m.destroyed))
		if m != std && std.isUnserved(m) {
			std.unserved.Do(func() { logUnservedHooks(m.log) })
		}
		if n := len(m.destroyed); n > 0 && m.config.servesOnly {
			logIdleHooks(m.log, n)
		}
		if m.closed.Load() {
			m.runner.Refuse()
		}
	}
	if m.closed.Load() {
		return ErrShutdown
	}
	return nil
}

// Shutdown stops the background work. It ends the contexts of Context.SessionContext, waits
// for running hooks until ctx ends, gives the ends whose hooks have not started to the other
// instances, and runs the closures (hooks of Context.OnSessionDestroyed) that are left on
// this instance, with ReasonShutdown. It drops those with NotAtShutdown. The sessions
// themselves go on.
//
// Shut the HTTP server down first. A request that comes later is served, but its
// Context.OnSessionDestroyed returns ErrShutdown.
//
// If ctx ends first, Shutdown returns its error. The contexts of running hooks end then,
// and their ends are given back as far as Redis can be reached; a hook that ignores its
// context is left running. The remaining closures still start, with a context that has
// ended: in their order for a quarter of a second, then all at once. So the time that
// Shutdown takes beyond ctx does not grow with the number of sessions: it is a moment for
// the hooks, and a few times WithRedisTimeout if Redis does not answer.
//
// A second call returns the same as the first. After Shutdown the manager cannot be
// started again, even if it had not been started before.
func (m *Manager) Shutdown(ctx context.Context) error {
	m.mu.Lock()
	m.serving = true
	m.closed.Store(true)
	e, r := m.engine.Load(), m.runner
	m.mu.Unlock()
	m.contexts.endAll()
	switch {
	case e != nil:
		m.shutdown.Do(func() {
			if err := e.Stop(ctx); err != nil {
				m.stopped = fmt.Errorf("lifecycle: shutdown: %w", err)
			}
		})
		return m.stopped
	case r != nil:
		r.Refuse()
	}
	return nil
}

var std = newDefault()

// Default returns the manager that the package-level functions use. It serves the store
// of the first request, or of Start, with the manager options that NewStore got.
func Default() *Manager { return std }

// isUnserved reports whether the manager has hooks that do not run, because another one serves:
// this one is not in use, or both have the same store. Then created hooks run for no session
// of the other one, and destroyed hooks only for the ends that this one happens to claim.
func (m *Manager) isUnserved(other *Manager) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.store {
	case nil:
		return len(m.created)+len(m.destroyed) > 0 && !m.wired.Load()
	case other.store:
		return len(m.created) > 0 || len(m.destroyed) > 0 && !other.config.servesOnly
	}
	return false
}

// OnSessionCreated registers a hook with the default manager. The hook is called once for
// every session that begins, in the request that begins it, before the request's handler.
//
// If the hook returns an error or panics, the error is logged, and the request goes on;
// WithCreatedHooksRequired changes that.
//
// Register it before Start and before the first request. OnSessionCreated panics if it is
// called later, or if h is nil. See Manager.OnSessionCreated.
func OnSessionCreated(h Hook) { std.OnSessionCreated(h) }

// OnSessionDestroyed registers a hook with the default manager. The hook is called at
// least once for every session that ends, on one instance of the fleet, and exactly once
// if nothing crashes and the hook does not fail. Use Session.ID to recognize a second
// call for the same end.
//
// Register it before Start and before the first request. OnSessionDestroyed panics if it is
// called later, or if h is nil. In a handler use Context.OnSessionDestroyed. See
// Manager.OnSessionDestroyed.
func OnSessionDestroyed(h Hook) { std.OnSessionDestroyed(h) }

// Start starts the background work of the default manager on store: it finds ended
// sessions and runs their hooks. Call it when the program starts, so that sessions which
// ended while the application was down are handled at once. ctx limits how long Start may
// take; it does not stop the work. Register the hooks before Start: a later registration
// panics.
//
// Start returns ErrUnavailable if Redis cannot be reached; the first request tries again
// then. See Manager.Start for the other errors.
func Start(ctx context.Context, store *Store) error {
	if err := checkStore("Start", store); err != nil {
		return err
	}
	return std.start(ctx, store)
}

// Shutdown stops the background work of the default manager; it cannot be started again.
// Shutdown waits for running hooks until ctx ends, gives the ends whose hooks have not
// started to the other instances, and runs the closures (hooks of
// Context.OnSessionDestroyed) that are left on this instance. If ctx ends first, Shutdown
// returns its error. Shut the HTTP server down first. See Manager.Shutdown.
func Shutdown(ctx context.Context) error { return std.Shutdown(ctx) }
