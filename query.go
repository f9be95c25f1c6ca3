package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// errNoStore is returned by the default manager's queries before it has one.
var errNoStore = errors.New("lifecycle: the default manager has no store yet: use lifecycle.Start(ctx, store)")

// open returns the ledger, ready for use.
func (m *Manager) open(ctx context.Context) (*ledger.Ledger, error) {
	m.mu.Lock()
	store := m.store
	m.mu.Unlock()
	if store == nil {
		return nil, errNoStore
	}
	return store.ledger, unavailable("open", store.ledger.Open(ctx))
}

// Get returns a live session without prolonging it. It returns ErrSessionEnded if
// the session has ended or there never was one of this ID, ErrUndecodable if its
// record cannot be decoded, or ErrUnavailable, with Redis's error or ctx's. Values
// are decoded when they are asked for: see Session.Err.
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

func (m *Manager) found(f ledger.Found) (*Session, error) {
	rec, err := decodeRecord(f.Record)
	if err != nil {
		return nil, fmt.Errorf("session %s: %w", f.ID, err)
	}
	return liveSession(m.store.config.codec, f.ID, rec, m.store.ledger.ClockOf(f.ID).Unix(), max(f.Left, 0)), nil
}

// scanCount is how many sessions All reads in one round trip, about.
const scanCount = 256

// All returns the live sessions of the whole fleet in no order, without
// prolonging them. Those that live from the beginning of the iteration to its end
// come exactly once; of those that begin or end meanwhile some come. The error of
// a session that cannot be decoded comes in its place; after any other error,
// ErrUnavailable or ctx's, the iteration ends. It reads every session: it is for
// administrators, not for requests.
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
				var found []ledger.Found
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

// Count returns how many sessions are live in the whole fleet. It reads the
// due-index: ends whose hooks run or wait for another attempt are counted too, and
// a live session is not while its entry waits for a look.
func (m *Manager) Count(ctx context.Context) (int, error) {
	l, err := m.open(ctx)
	if err != nil {
		return 0, err
	}
	n, err := l.Count(ctx)
	return int(n), unavailable("count", err)
}

// Destroy ends a live session with reason; an empty one stands for
// ReasonRevoked. Its hooks run in the background, on this instance if it has been
// started. It returns ErrSessionEnded if the session has ended or there never was
// one of this ID, or ErrUnavailable, with Redis's error or ctx's. A reason of more
// than 256 bytes, or "expired", which is the library's own, gives an error that says
// so, and ends nothing. A cancelled ctx does not leave half an end.
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
	ok, err := m.store.end(context.WithoutCancel(ctx), m, id, "", reason)
	if err == nil && !ok {
		return ErrSessionEnded
	}
	return err
}

const maxReason = 256

// end ends a session. If m is at work it claims the end and runs the hooks. The
// proof, empty if the caller does not know it, saves a round trip: a caller that
// had the secret when it read the session may end it, rotated since or not.
func (s *Store) end(ctx context.Context, m *Manager, id, proof string, reason Reason) (ok bool, err error) {
	c, ok, err := s.ledger.End(ctx, id, proof, string(reason), m.lease())
	if err != nil {
		return false, unavailable("end", err)
	}
	if c != nil {
		m.started.Load().delivery.Submit([]*ledger.Claim{c})
	}
	return ok, nil
}
