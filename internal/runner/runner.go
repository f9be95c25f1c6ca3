package runner

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/closures"
	"github.com/gin-lifecycle/lifecycle/internal/hook"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Hook is a function of the application. S is what it gets of the session.
type Hook[S any] = func(ctx context.Context, s S) error

// Config is what a Runner is made of.
type Config[S any] struct {
	Ledger    *ledger.Ledger
	Instance  string
	Created   []Hook[S]
	Destroyed []Hook[S]
	// Picture returns what the hooks of an end get, and the end's reason as they see it.
	Picture func(ledger.End) (s S, reason string)

	CreatedRequired bool          // the first created hook that fails stops the others
	Timeout         time.Duration // of one call of a hook
	Concurrency     int           // sessions whose closures run at the same time in RunLeft
	RedisTimeout    time.Duration // of RunLeft's last call, once its context has ended
	ShutdownReason  string        // the reason that closures get in RunLeft
	Log             *slog.Logger
}

// Runner is safe for concurrent use. Make it with New.
type Runner[S any] struct {
	c        Config[S]
	caller   hook.Caller
	closures closures.Closures[Hook[S]]
	counters counters
	starting sync.Map // session ID -> chan struct{}, closed when its created hooks have run
}

// New returns a runner.
func New[S any](c Config[S]) *Runner[S] {
	r := &Runner[S]{c: c}
	r.closures.Unwatch = func(id string) {
		// If it fails, the end sends a message for nothing, and its record expires later.
		_ = c.Ledger.Unwatch(context.Background(), c.Instance, id)
	}
	return r
}

// Hold registers a closure; see closures.Closures.Register.
func (r *Runner[S]) Hold(id string, h Hook[S], o closures.Options, watch func() (record []byte, err error)) (remove func() bool, ended *ledger.End, err error) {
	return r.closures.Register(id, h, o, watch)
}

// Has reports whether a session has closures here, or is about to.
func (r *Runner[S]) Has(id string) bool { return r.closures.Has(id) }

// IDs returns the sessions that have closures here.
func (r *Runner[S]) IDs() []string { return r.closures.IDs() }

// Hung returns how many hooks ignore their context and have not returned.
func (r *Runner[S]) Hung() int { return r.caller.Hung() }

// call calls a hook with its timeout, and counts the call.
func (r *Runner[S]) call(ctx context.Context, h Hook[S], s S) error {
	r.counters.run.Add(1)
	return r.caller.Call(ctx, r.c.Timeout, func(ctx context.Context) error { return h(ctx, s) })
}

// What the log says about a hook that failed.
const (
	createdFailed   = "lifecycle: a created hook failed; it is not called again, and the request goes on"
	refusalFailed   = "lifecycle: a created hook failed, so the session was refused"
	destroyedFailed = "lifecycle: a destroyed hook failed; it is called again after a pause, unless this was the last attempt"
	closureFailed   = "lifecycle: a closure, which a handler registered with Context.OnSessionDestroyed, failed; it is not called again"
)

// failed counts the failure of hook number i, and logs it with text.
func (r *Runner[S]) failed(text string, i int, id string, err error, args ...any) {
	r.counters.failed.Add(1)
	args = append([]any{"hook", i + 1, "session", id, "error", err}, args...)
	if p := (*hook.PanicError)(nil); errors.As(err, &p) {
		args = append(args, "stack", string(p.Stack))
	}
	r.c.Log.Error(text, args...)
}
