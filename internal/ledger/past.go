package ledger

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Past is what is remembered of a finished end, for Config.Remember, for the visitor who
// still has the session's token. It stands where the record was:
//
//	proof     16 bytes: the proof of the session's last secret
//	format    1 byte: 6, which is no format of a record
//	deadline  6 bytes, big endian: the absolute deadline in Unix ms, 0 for none
//	at        6 bytes, big endian: when the session ended, in Unix ms, 0 if that is not known
//	reason    the rest, from 1 to 256 bytes
//
// past.lua writes it, from the head of the record and from the end. look.lua knows the
// format too.
type Past struct {
	Proof    string
	Deadline int64
	At       int64
	Reason   string // as in End
}

const (
	formatPast = 6
	pastHead   = token.ProofLength + 1 + 6 + 6
)

// UnpackPast reads what Loaded.Record may hold in place of a record. ok is false for
// everything else.
func UnpackPast(b []byte) (p Past, ok bool) {
	if len(b) <= pastHead || len(b) > pastHead+maxReason || b[token.ProofLength] != formatPast {
		return Past{}, false
	}
	times := b[token.ProofLength+1:]
	return Past{
		Proof:    string(b[:token.ProofLength]),
		Deadline: uint48(times),
		At:       uint48(times[6:]),
		Reason:   string(b[pastHead:]),
	}, true
}

func uint48(b []byte) int64 {
	return int64(binary.BigEndian.Uint16(b))<<32 | int64(binary.BigEndian.Uint32(b[2:]))
}

// end returns the end that p remembers.
func (p Past) end(id string) End {
	return End{ID: id, Reason: p.Reason, At: p.At, Left: -1, Attempt: 1}
}

// Previous reads how a session has ended whose record was there a moment ago, without a live
// key for t. If no look has found the end yet, the result is what a look would write: that
// the session has expired. ok is false if the session is live, or nothing is left of it. The
// cost is one round trip.
func (l *Ledger) Previous(ctx context.Context, t token.Token) (e End, ok bool, err error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	b := l.keys.bucket(t.ID)
	pipe := l.rdb.Pipeline()
	live := pipe.Exists(ctx, l.keys.live(b, t.ID, t.Proof()))
	// An ack may come between these. It replaces the record by the past, so the record is read
	// after what the ack deletes.
	end := pipe.HMGet(ctx, l.keys.end(b, t.ID), "reason", "at")
	due := pipe.ZScore(ctx, l.keys.due(b), t.ID)
	rest := pipe.GetRange(ctx, l.keys.session(b, t.ID), 0, pastHead+maxReason)
	execute(ctx, pipe)
	if err := cmp.Or(answer(live.Err()), answer(rest.Err()), answer(end.Err()), answer(due.Err())); err != nil {
		l.reloadAfter(err)
		return End{}, false, err
	}
	if live.Val() > 0 {
		return End{}, false, nil
	}
	if p, ok := UnpackPast([]byte(rest.Val())); ok {
		return p.end(t.ID), t.Proves(p.Proof), nil
	}
	if f := end.Val(); len(f) > 0 && f[0] != nil {
		return End{ID: t.ID, Reason: reasonOf(f[0]), At: timeOf(f[1])}, true, nil
	}
	if !strings.HasPrefix(rest.Val(), t.Proof()) || errors.Is(due.Err(), redis.Nil) {
		return End{}, false, nil
	}
	e = End{ID: t.ID, Reason: Expired, At: l.Clock(b).Unix()}
	if at := int64(due.Val()); at > 0 {
		e.At = min(e.At, at)
	}
	return e, true, nil
}

// answer returns err, unless Redis has answered that there is no such key, or that something
// else has overwritten it.
func answer(err error) error {
	if errors.Is(err, redis.Nil) || IsOverwritten(err) {
		return nil
	}
	return err
}
