package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-lifecycle/lifecycle/internal/delivery"
	"github.com/gin-lifecycle/lifecycle/internal/hook"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// beginning notes that a session is about to begin here: its destroyed hooks
// wait until the returned function is called.
func (m *Manager) beginning(id string) (finish func()) {
	done := make(chan struct{})
	m.begin.Store(id, done)
	return func() {
		m.begin.Delete(id)
		close(done)
	}
}

// runCreated runs the created hooks of a session that has just begun. With
// WithCreatedHooksRequired the first error ends it and is returned.
func (m *Manager) runCreated(r *http.Request, s *Session) error {
	m.stats.created.Add(1)
	s.live = r
	for i, h := range m.created {
		err := m.call(context.WithoutCancel(r.Context()), h, s)
		if err == nil {
			continue
		}
		m.logHook("created", i, s, err)
		if m.config.required {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	return nil
}

// runner is the manager as delivery sees it.
type runner struct{ m *Manager }

// Deliver runs the hooks of an end: this instance's closures of the session,
// last registered first, then the global hooks in their order, unless the claim
// is another instance's. Closures have nothing to do with the claim: they run to
// their end even if its lease is lost.
func (r runner) Deliver(ctx context.Context, lease delivery.Lease, c *ledger.Claim) delivery.Outcome {
	m := r.m
	if done, ok := m.begin.Load(c.ID); ok {
		select {
		case <-done.(chan struct{}):
		case <-ctx.Done():
		}
	}
	mine := c.Token != ""
	hooks, known := m.closures.take(c.End)
	if mine && slices.ContainsFunc(c.Watchers, func(w string) bool { return w != m.instance }) {
		// Unheard, they find out by themselves.
		_ = m.store.ledger.Tell(ctx, m.instance, c)
	}
	end := c.End
	if len(end.Record) == 0 {
		end.Record = known
	}
	s := endedSession(m.store.config.codec, end)
	if mine && c.Attempt == 1 {
		m.stats.count(s.Reason)
	}
	m.runClosures(ctx, hooks, s)
	var outcome delivery.Outcome
	if mine {
		outcome = m.runDestroyed(lease, c, s)
	}
	// A settlement tells Redis that this instance waits for nothing more. There is
	// none for news, nor for a claim that was taken over.
	if len(hooks) > 0 && (!mine || lease.Err() != nil) {
		_ = m.store.ledger.Unwatch(ctx, m.instance, c.ID) // else the tombstone goes by itself
	}
	return outcome
}

// Hung returns how many hooks have been left behind.
func (r runner) Hung() int { return r.m.caller.Hung() }

func (m *Manager) runClosures(ctx context.Context, hooks []Hook, s *Session) {
	for i, h := range slices.Backward(hooks) {
		if err := m.call(ctx, h, s); err != nil {
			m.logHook("session's destroyed", i, s, err)
		}
	}
}

// runDestroyed runs the global hooks that have not succeeded in an earlier
// attempt of this instance.
func (m *Manager) runDestroyed(lease delivery.Lease, c *ledger.Claim, s *Session) delivery.Outcome {
	done := m.parseDone(c.Done)
	var errs []error
	interrupted := false
	for i, h := range m.destroyed {
		if slices.Contains(done, i) {
			continue
		}
		if err := lease.Check(); err != nil {
			// Whoever takes the claim over, or takes it again, runs the rest.
			errs, interrupted = append(errs, err), true
			break
		}
		if err := m.call(lease, h, s); err != nil {
			m.logHook("destroyed", i, s, err)
			errs = append(errs, fmt.Errorf("destroyed hook %d: %w", i+1, err))
			continue
		}
		done = append(done, i)
	}
	return delivery.Outcome{Err: errors.Join(errs...), Done: m.formatDone(done), Interrupted: interrupted}
}

// The hooks that have succeeded are noted with the instance: another one runs
// all of them again, since its list may differ.
func (m *Manager) formatDone(done []int) string {
	if len(done) == 0 {
		return ""
	}
	text := make([]string, len(done))
	for i, n := range done {
		text[i] = strconv.Itoa(n)
	}
	return m.instance + ":" + strings.Join(text, ",")
}

func (m *Manager) parseDone(s string) []int {
	instance, list, ok := strings.Cut(s, ":")
	if !ok || instance != m.instance {
		return nil
	}
	var done []int
	for text := range strings.SplitSeq(list, ",") {
		if n, err := strconv.Atoi(text); err == nil {
			done = append(done, n)
		}
	}
	return done
}

func (m *Manager) call(ctx context.Context, h Hook, s *Session) error {
	m.stats.hooksRun.Add(1)
	return m.caller.Call(ctx, m.config.hookTimeout, func(ctx context.Context) error { return h(ctx, s) })
}

func (m *Manager) logHook(kind string, i int, s *Session, err error) {
	m.stats.hooksFailed.Add(1)
	args := []any{"hook", i + 1, "session", s.ID, "error", err}
	if s.Reason != "" {
		args = append(args, "reason", s.Reason, "attempt", s.Attempt)
	}
	if p := (*hook.PanicError)(nil); errors.As(err, &p) {
		args = append(args, "stack", string(p.Stack))
	}
	m.log.Error("lifecycle: a "+kind+" hook failed", args...)
}
