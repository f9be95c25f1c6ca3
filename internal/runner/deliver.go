package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gin-lifecycle/lifecycle/internal/delivery"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// end is an end as its hooks see it.
type end[S any] struct {
	ledger.End
	reason  string
	session S
}

func (r *Runner[S]) picture(e ledger.End) end[S] {
	s, reason := r.c.Picture(e)
	return end[S]{End: e, reason: reason, session: s}
}

// Deliver runs the hooks of an end: the closures, and the global hooks if c is a claim
// and not only news. ctx bounds the closures, lease the global hooks.
func (r *Runner[S]) Deliver(ctx context.Context, lease delivery.Lease, c *ledger.Claim) delivery.Outcome {
	r.awaitCreated(ctx, c.ID)
	claimed := c.Token != ""
	hooks, known := r.closures.Take(c.End)
	if claimed && slices.ContainsFunc(c.Watchers, func(w string) bool { return w != r.c.Instance }) {
		// An instance that does not get the message finds the end by its next query.
		_ = r.c.Ledger.NotifyWatchers(ctx, r.c.Instance, c)
	}
	ended := c.End
	if len(ended.Record) == 0 {
		ended.Record = known
	}
	e := r.picture(ended)
	if claimed && c.Attempt == 1 {
		r.counters.ended(e.reason)
	}
	r.runClosures(ctx, hooks, e)
	var outcome delivery.Outcome
	if claimed {
		outcome = r.runDestroyed(lease, c, e)
	}
	// When delivery settles a claim, Redis also removes this instance from those that hold
	// closures of the session. News and a lost claim are not settled.
	if len(hooks) > 0 && (!claimed || lease.Err() != nil) {
		_ = r.c.Ledger.Unwatch(ctx, r.c.Instance, c.ID) // if it fails, the record expires later
	}
	return outcome
}

// runClosures runs the closures of a session, the last one of hooks first.
func (r *Runner[S]) runClosures(ctx context.Context, hooks []Hook[S], e end[S]) {
	for i, h := range slices.Backward(hooks) {
		_ = r.runDestroyedHook(ctx, closureFailed, i, h, e)
	}
}

// runDestroyed runs the global hooks that did not succeed in an earlier attempt of this
// instance.
func (r *Runner[S]) runDestroyed(lease delivery.Lease, c *ledger.Claim, e end[S]) delivery.Outcome {
	done := parseDone(r.c.Instance, c.Done)
	var errs []error
	interrupted := false
	for i, h := range r.c.Destroyed {
		if slices.Contains(done, i) {
			continue
		}
		if err := lease.Check(); err != nil {
			// The instance that has the claim next runs the rest.
			errs, interrupted = append(errs, err), true
			break
		}
		if err := r.runDestroyedHook(lease, destroyedFailed, i, h, e); err != nil {
			errs = append(errs, fmt.Errorf("destroyed hook %d: %w", i+1, err))
			continue
		}
		done = append(done, i)
	}
	return delivery.Outcome{Err: errors.Join(errs...), Done: formatDone(r.c.Instance, done), Interrupted: interrupted}
}

// runDestroyedHook runs one hook of an end. If the hook fails, the log says ifFailed.
func (r *Runner[S]) runDestroyedHook(ctx context.Context, ifFailed string, i int, h Hook[S], e end[S]) error {
	err := r.call(ctx, h, e.session)
	if err != nil {
		r.failed(ifFailed, i, e.ID, err, "reason", e.reason, "attempt", e.Attempt)
	}
	return err
}
