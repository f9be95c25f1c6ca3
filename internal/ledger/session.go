package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// An estimate of the clock older than this is renewed along with a load.
const clockLife = time.Minute

// Load reads the record of the session that t names and prolongs the session,
// in one round trip. ok is false if there is no such live session.
func (l *Ledger) Load(ctx context.Context, t token.Token) (rec []byte, ok bool, err error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	b := l.keys.bucket(t.ID)

	pipe := l.rdb.Pipeline()
	taken := l.sampling(ctx, pipe, b, clockLife)
	unit, end := liveUntil(t.Timeouts, l.Clock(b).Unix())
	touch := redis.NewStringCmd(ctx, "getex", l.keys.live(b, t.ID, t.Proof()), unit, end)
	_ = pipe.Process(ctx, touch)
	get := pipe.Get(ctx, l.keys.session(b, t.ID))
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		l.noticed(err)
		return nil, false, err
	}
	_ = taken() // as good as what was known
	if touch.Err() != nil || get.Err() != nil {
		return nil, false, nil
	}
	rec, err = get.Bytes()
	return rec, err == nil, err
}

// liveUntil says, in Redis's words, until when a request keeps a session alive:
// for the idle timeout, but not beyond the absolute deadline. Redis judges both by
// its own clock; the estimate in now only says which of them comes first.
func liveUntil(t token.Timeouts, now int64) (unit string, end int64) {
	if t.Deadline != 0 && now+t.Idle.Milliseconds() >= t.Deadline {
		return "PXAT", t.Deadline
	}
	return "PX", t.Idle.Milliseconds()
}

// Create begins the session. ok is false if its time is already over.
func (l *Ledger) Create(ctx context.Context, t token.Token, rec []byte) (ok bool, err error) {
	b := l.keys.bucket(t.ID)
	return l.yes(ctx, createScript,
		[]string{l.keys.due(b), l.keys.session(b, t.ID), l.keys.live(b, t.ID, t.Proof())},
		t.ID, rec, t.Timeouts.Idle.Milliseconds(), t.Timeouts.Deadline, l.keys.wake(b))
}

// Save replaces the record of a live session and prolongs it. A nil rec leaves
// the record. ok is false if the session is not live under t.
func (l *Ledger) Save(ctx context.Context, t token.Token, rec []byte) (ok bool, err error) {
	b := l.keys.bucket(t.ID)
	unit, end := liveUntil(t.Timeouts, l.Clock(b).Unix())
	return l.yes(ctx, saveScript,
		[]string{l.keys.due(b), l.keys.session(b, t.ID), l.keys.live(b, t.ID, t.Proof())},
		t.ID, rec, unit, end, l.keys.wake(b))
}

// Rotate replaces the secret of old by that of next, a token of the same
// session. ok is false if the session is not live under old.
func (l *Ledger) Rotate(ctx context.Context, old, next token.Token) (ok bool, err error) {
	b := l.keys.bucket(old.ID)
	proof := next.Proof()
	return l.yes(ctx, rotateScript,
		[]string{l.keys.session(b, old.ID), l.keys.live(b, old.ID, old.Proof()), l.keys.live(b, old.ID, proof)},
		proof)
}

// Watch notes that instance holds closures of the session. ok is false if it
// is not live under proof.
func (l *Ledger) Watch(ctx context.Context, id, proof, instance string) (ok bool, err error) {
	b := l.keys.bucket(id)
	return l.yes(ctx, watchScript, []string{l.keys.live(b, id, proof), l.keys.watch(b, id)}, instance)
}

// yes runs a script that replies 1 or 0.
func (l *Ledger) yes(ctx context.Context, s *redis.Script, keys []string, args ...any) (bool, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	n, err := s.Run(ctx, l.rdb, keys, args...).Int()
	l.noticed(err)
	return n == 1, err
}
