package ledger

import (
	"context"
	"strconv"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// FirstRevision is the revision of a record that Create has written.
const FirstRevision = "1"

// Saving is what Save is to write.
type Saving struct {
	Token token.Token // the session's token
	// Next is the token from then on. It may differ from Token in its timeouts, and in
	// nothing else.
	Next token.Token
	// Idle is by how much the session is prolonged at most; 0 leaves its time to live as it is.
	Idle   time.Duration
	Record []byte
	// Revision is that of the record that Record was made from. "" stands for an unknown one:
	// Save then writes nothing, and returns the record.
	Revision string
}

// Saved is the result of Save. If OK is false and Record is empty, the session is not live, or
// the token is not its own.
type Saved struct {
	OK bool // saved
	// Revision is that of the session's record now.
	Revision string
	// Record is the session's record, if another save has come between. Nothing was written
	// then.
	Record []byte
}

// Save replaces the record of a live session and prolongs the session, unless its record has
// another revision than the one that the new record was made from. If the idle timeout becomes
// shorter, all instances get the message Shortened.
func (l *Ledger) Save(ctx context.Context, s Saving) (Saved, error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	id, next := s.Token.ID, revisionAfter(s.Revision)
	b := l.keys.bucket(id)
	timeouts := s.Next.Timeouts()
	timeouts.Idle = min(timeouts.Idle, s.Idle)
	now := l.Clock(b).Unix()
	unit, end := liveUntil(timeouts, now)
	// The clock is an estimate. A look that comes too early moves the entry.
	look := end
	if unit == "PX" {
		look = now + end - min(clockError.Milliseconds(), end/2)
	}
	if s.Idle == 0 {
		unit = "KEEPTTL"
	}
	instances := ""
	if s.Next.Timeouts().Idle < s.Token.Timeouts().Idle {
		instances = l.keys.instances()
	}
	reply, err := saveScript.Run(ctx, l.rdb,
		[]string{l.keys.due(b), l.keys.session(b, id), l.keys.live(b, id, s.Token.Proof()), l.keys.live(b, id, s.Next.Proof())},
		id, s.Record, unit, end, l.keys.wake(b), s.Revision, next, look, instances).Result()
	if err != nil {
		l.reloadAfter(err)
		return Saved{}, err
	}
	if other, ok := reply.([]any); ok && len(other) == 2 {
		return Saved{Revision: toString(other[0]), Record: []byte(toString(other[1]))}, nil
	}
	return Saved{OK: toInt(reply) == 1, Revision: next}, nil
}

// revisionAfter returns another revision. Small numbers take no memory of their own in Redis.
func revisionAfter(revision string) string {
	n, _ := strconv.ParseUint(revision, 10, 62) // 0 if something else has overwritten it
	return strconv.FormatUint(n+1, 10)
}
