package lifecycle

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/engine"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// DeadEnd is an end in the dead set: its global destroyed hooks have failed as often as
// WithRetry allows, and are not called again unless RetryDead is called. A DeadEnd shows
// the end as it was when it was read.
type DeadEnd struct {
	// Session is what the hooks got at the last attempt. Its values are decoded when
	// they are first read; if they cannot be decoded, Session.Err says why.
	Session *Session
	// Error is the text of what the hooks returned at the last attempt, cut at
	// 1,024 bytes.
	Error string
	// Attempts is how often the hooks were started.
	Attempts int
	// BuriedAt is when the end was put into the dead set, by the Redis server's clock.
	BuriedAt time.Time
}

// deadPage is how many dead ends are read in one round trip.
const deadPage = 128

// Dead returns the ends in the dead set of the whole fleet, as they are when the iteration
// begins: bucket by bucket, the oldest of each bucket first. It changes nothing.
//
// The loop may call RetryDead and DropDead. An end that is put into the dead set during
// the iteration does not appear, so a loop that retries every end stops even if all of
// them fail again. An end that is retried or dropped before the iteration reaches it does
// not appear either; every other end appears exactly once. After an error, ErrUnavailable
// with the cause, the iteration stops.
//
// Dead reads 128 ends at a time: use it for administration, not in requests.
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

// RetryDead takes an end out of the dead set and has its hooks run again, at once, on the
// instance that looks after the session. Hooks that have succeeded on that instance do not
// run again. Session.Attempt counts on. There is one attempt: if a hook fails again, the
// end is back in the dead set at once. The manager itself need not have been started.
//
// RetryDead returns ErrNotDead if no end of this ID is in the dead set or id is not the ID
// of a session, and ErrUnavailable if Redis cannot be reached. After ErrUnavailable the
// end may have been moved all the same: repeat the call, it returns ErrNotDead then.
// Several instances may call it at the same time; one of them moves the end.
func (m *Manager) RetryDead(ctx context.Context, id string) error {
	l, err := m.openDead(ctx, "RetryDead", id)
	if err != nil {
		return err
	}
	ok, err := l.RetryDead(ctx, id)
	return notDead("retry a dead end", id, ok, err)
}

// DropDead removes an end from the dead set for good, with the session's data: its global
// hooks will not run again. If other instances have hooks of Context.OnSessionDestroyed
// for the session that have not run, the data is kept for these hooks, for ten minutes at
// most. For errors and concurrency see RetryDead.
func (m *Manager) DropDead(ctx context.Context, id string) error {
	l, err := m.openDead(ctx, "DropDead", id)
	if err != nil {
		return err
	}
	ok, err := l.DropDead(ctx, id, engine.Tombstone)
	return notDead("drop a dead end", id, ok, err)
}

// openDead returns the ledger for a call that names one dead end.
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
