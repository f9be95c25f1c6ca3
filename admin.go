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

// open returns the ledger when it can be used.
func (m *Manager) open(ctx context.Context) (*ledger.Ledger, error) {
	m.mu.Lock()
	store := m.store
	m.mu.Unlock()
	if store == nil {
		return nil, errNoStore
	}
	return store.ledger, unavailable("open", store.ledger.Open(ctx))
}

// Get returns a live session. It does not prolong the session.
//
// Get returns ErrSessionEnded if the session has ended or id is not the ID of a session,
// ErrUndecodable if its record cannot be decoded, and ErrUnavailable, with the cause, if
// Redis cannot be reached or ctx ends. The values are decoded when they are first read;
// see Session.Err. It takes two round trips.
func (m *Manager) Get(ctx context.Context, id string) (*Session, error) {
	l, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	if !token.ValidID(id) {
		return nil, ErrSessionEnded
	}
	f, ok, err := l.Get(ctx, id)
	if err != nil {
		return nil, unavailable("get", err)
	}
	if !ok {
		return nil, ErrSessionEnded
	}
	return m.found(f)
}

func (m *Manager) found(f ledger.LiveSession) (*Session, error) {
	rec, err := decodeRecord(f.Record)
	if err != nil {
		return nil, fmt.Errorf("%w (session %s)", err, f.ID)
	}
	return liveSession(m.store.config.codec, f.ID, rec, m.store.ledger.ClockOf(f.ID).Unix(), max(f.Left, 0)), nil
}

// scanCount is about how many sessions All reads at a time.
const scanCount = 256

// All returns the live sessions of the whole fleet, in no particular order. It does not
// prolong them.
//
// A session that is live during the whole iteration appears exactly once; sessions that
// start or end during the iteration may or may not appear. If a session cannot be decoded,
// its error appears in its place and the iteration goes on. After any other error,
// ErrUnavailable or ctx's, the iteration stops.
//
// All reads every session from Redis, bucket by bucket. It takes three round trips for
// about 256 sessions of a bucket, and one for an empty bucket. Use it in background jobs and
// on pages for administrators, and not in the requests of visitors.
func (m *Manager) All(ctx context.Context) iter.Seq2[*Session, error] {
	return func(yield func(*Session, error) bool) {
		l, err := m.open(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for b := range l.Buckets() {
			seen := make(map[string]struct{})
			for cursor, first := uint64(0), true; first || cursor != 0; first = false {
				var found []ledger.LiveSession
				if found, cursor, err = l.Scan(ctx, b, cursor, scanCount); err != nil {
					yield(nil, unavailable("list", err))
					return
				}
				for _, f := range found {
					if _, twice := seen[f.ID]; twice {
						continue
					}
					seen[f.ID] = struct{}{}
					if !yield(m.found(f)) {
						return
					}
				}
			}
		}
	}
}

// Count returns the number of live sessions of the whole fleet. The number is an
// estimate: sessions whose hooks run, or wait for another attempt, are included, and a
// live session is missing for a moment while the library checks whether it has expired.
//
// Count returns ErrUnavailable, with the cause, if Redis cannot be reached or ctx ends. It
// takes one round trip and does not read the sessions.
func (m *Manager) Count(ctx context.Context) (int, error) {
	l, err := m.open(ctx)
	if err != nil {
		return 0, err
	}
	n, err := l.Count(ctx)
	return int(n), unavailable("count", err)
}

// Touch prolongs a live session by its idle timeout, as a request of its visitor does: for
// what happens outside of requests, such as messages on a hijacked connection. It does not
// prolong it beyond the absolute timeout. A rotation does not matter, because id stays.
//
// Touch returns ErrSessionEnded if the session has ended or id is not the ID of a session,
// ErrUndecodable if its record cannot be decoded, and ErrUnavailable, with the cause, if Redis
// cannot be reached or ctx ends. It takes two round trips.
func (m *Manager) Touch(ctx context.Context, id string) error {
	l, err := m.open(ctx)
	if err != nil {
		return err
	}
	if !token.ValidID(id) {
		return ErrSessionEnded
	}
	for proof := ""; ; {
		packed, err := l.Record(ctx, id)
		if err != nil {
			return unavailable("touch", err)
		}
		if len(packed) == 0 {
			return ErrSessionEnded
		}
		rec, err := decodeRecord(packed)
		if err != nil {
			return fmt.Errorf("%w (session %s)", err, id)
		}
		if rec.Proof == proof {
			return ErrSessionEnded
		}
		proof = rec.Proof
		x := l.Touch(ctx, []ledger.Touching{{ID: id, Proof: proof, Timeouts: rec.Timeouts}})[0]
		if x.Err != nil {
			return unavailable("touch", x.Err)
		}
		if x.Live {
			return nil
		}
		// Another request may have rotated it, or saved other timeouts, in between.
	}
}

// maxReason is the longest reason, in bytes.
const maxReason = 256

// Destroy ends a live session with a reason, which its hooks get; an empty reason stands
// for ReasonRevoked. The hooks run in the background: on this instance if it has been
// started, else on another one.
//
// Destroy returns ErrSessionEnded if the session has ended or id is not the ID of a
// session, and ErrUnavailable, with the cause, if Redis cannot be reached or ctx has
// ended. A reason of more than 256 bytes, or "expired", which the library uses itself, is
// an error too; the session does not end then. If ctx ends during the call, the session
// still ends as a whole. It takes two round trips.
func (m *Manager) Destroy(ctx context.Context, id string, reason Reason) error {
	if reason == "" {
		reason = ReasonRevoked
	}
	if reason == ledger.Expired || len(reason) > maxReason {
		return fmt.Errorf("lifecycle: Destroy: reason %q: it must have at most %d bytes and must not be %q", reason, maxReason, ledger.Expired)
	}
	if err := ctx.Err(); err != nil {
		return unavailable("end", err)
	}
	if _, err := m.open(ctx); err != nil {
		return err
	}
	if !token.ValidID(id) {
		return ErrSessionEnded
	}
	ok, err := m.end(context.WithoutCancel(ctx), id, "", reason)
	if err == nil && !ok {
		return ErrSessionEnded
	}
	return err
}

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
// Dead reads 128 ends at a time. Use it in background jobs and on pages for administrators,
// and not in the requests of visitors.
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
// hooks will not run again. If other instances have closures (hooks of
// Context.OnSessionDestroyed) of the session that have not run, the data is kept for these
// closures, for ten minutes at most. For errors and concurrency see RetryDead.
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
