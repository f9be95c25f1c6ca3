package lifecycle

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// DeadEnd is an end in the dead set: one whose global destroyed hooks have
// failed as often as WithRetry allows. It is a picture of one moment.
type DeadEnd struct {
	// Session is what the hooks were given, with Session.Attempt as at the last
	// attempt. Its values are decoded when they are asked for; where they, or all
	// of the record, cannot be, Session.Err says why.
	Session *Session
	// Error is the text of what the hooks returned at the last attempt, cut at
	// 1,024 bytes.
	Error string
	// Attempts is how often the hooks were started.
	Attempts int
	// BuriedAt is when the end came into the dead set, by the Redis server's clock.
	BuriedAt time.Time
}

// deadPage is how many dead ends are read in one round trip.
const deadPage = 128

// Dead returns the ends that are in the dead set of the whole fleet when the
// iteration begins: bucket by bucket, in each the oldest first. Every one that
// stays there until it is reached comes exactly once. What is dropped or retried
// meanwhile, by the loop itself for one, is not waited for, and what is buried
// meanwhile does not come: a loop that retries every end is over even if all of
// them fail again. After an error, ErrUnavailable with Redis's or ctx's, the
// iteration ends. It reads a page at a time and changes nothing. It is for
// administrators, not for requests.
func (m *Manager) Dead(ctx context.Context) iter.Seq2[*DeadEnd, error] {
	return func(yield func(*DeadEnd, error) bool) {
		l, err := m.open(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		last, err := l.LastDead(ctx)
		for b := 0; b < len(last) && err == nil; b++ {
			var from ledger.DeadMark
			for done := last[b] == from; !done && err == nil; {
				var found []ledger.Dead
				found, from, done, err = l.ReadDead(ctx, b, from, last[b], deadPage)
				for _, d := range found {
					if err = ctx.Err(); err != nil {
						break
					}
					if !yield(m.deadEnd(d), nil) {
						return
					}
				}
			}
		}
		if err != nil {
			yield(nil, unavailable("list the dead set", err))
		}
	}
}

func (m *Manager) deadEnd(d ledger.Dead) *DeadEnd {
	return &DeadEnd{
		Session:  endedSession(m.store.config.codec, d.End),
		Error:    d.Error,
		Attempts: d.Attempt,
		BuriedAt: time.UnixMilli(d.Buried),
	}
}

// RetryDead moves an end from the dead set back to those whose hooks are to run:
// at once, on the instance that looks after it. Hooks that have succeeded before
// do not run again, unless another instance runs them. Session.Attempt counts on.
// The attempts of WithRetry are used up: if a hook fails again the end is back in
// the dead set at once.
//
// It returns ErrNotDead if no end of this ID is in the dead set, or the ID is
// none, and ErrUnavailable. After ErrUnavailable, or a connection that broke
// before Redis's answer came, it may have been moved all the same: the next call
// then returns ErrNotDead. It is safe to call it from several instances: one of
// them moves the end. The manager need not have been started.
func (m *Manager) RetryDead(ctx context.Context, id string) error {
	l, err := m.openDead(ctx, "RetryDead", id)
	if err != nil {
		return err
	}
	ok, err := l.RetryDead(ctx, id)
	return notDead("retry a dead end", id, ok, err)
}

// DropDead removes an end from the dead set for good, and the session's data
// with it: its hooks will not run again. Where other instances hold hooks of the
// session's handlers that have not run, the data stays for them for ten minutes at
// most. Errors and concurrency are as with RetryDead.
func (m *Manager) DropDead(ctx context.Context, id string) error {
	l, err := m.openDead(ctx, "DropDead", id)
	if err != nil {
		return err
	}
	ok, err := l.DropDead(ctx, id, m.config.tombstone)
	return notDead("drop a dead end", id, ok, err)
}

// openDead returns the ledger for an operation on one dead end.
func (m *Manager) openDead(ctx context.Context, name, id string) (*ledger.Ledger, error) {
	if !token.ValidID(id) {
		return nil, fmt.Errorf("%w: %s(%q): not the ID of a session", ErrNotDead, name, cut(id, maxReason))
	}
	return m.open(ctx)
}

func notDead(op, id string, ok bool, err error) error {
	if err == nil && !ok {
		return fmt.Errorf("%w: %s: session %s", ErrNotDead, op, id)
	}
	return unavailable(op, err)
}
