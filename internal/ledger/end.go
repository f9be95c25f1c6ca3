package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Reasons that the ledger itself finds; others are the caller's text.
const (
	Expired = "expired"
	Evicted = "evicted"
	Deleted = "deleted"
	Lost    = "lost"
)

// End is an ended session.
type End struct {
	ID      string
	Record  []byte // empty if it was lost
	Reason  string
	At      int64 // Unix ms; of an expired session its deadline as last known
	Left    int64 // ms of its time to live that were left, -1 if not known
	Attempt int
}

// Claim is the right to run the hooks of an end.
type Claim struct {
	End
	Token    string // names this claim; nobody else has or gets it
	Done     string // what an earlier holder noted with Release
	Watchers []string
	// Asked is the process's time just before the claim was asked for. The lease has
	// begun since: it is not over before Asked and its duration are, however late the
	// reply came.
	Asked time.Time
}

// Lease is how a caller wants its claims.
type Lease struct {
	Token    string // unique for the call
	Duration time.Duration
}

// ErrMoved is returned by End when the secret was rotated meanwhile.
var ErrMoved = errors.New("session was rotated meanwhile")

// End ends the live session that has this proof. With a lease the end is
// claimed at once. ok is false if the session is not live.
func (l *Ledger) End(ctx context.Context, id, proof, reason string, lease Lease) (c *Claim, ok bool, err error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	b := l.keys.bucket(id)
	clock := l.Clock(b)
	sent, asked := clock.local(), time.Now()
	reply, err := endScript.Run(ctx, l.rdb,
		[]string{l.keys.due(b), l.keys.session(b, id), l.keys.live(b, id, proof), l.keys.end(b, id), l.keys.watch(b, id)},
		id, proof, reason, lease.Token, lease.Duration.Milliseconds(), l.keys.wake(b)).Slice()
	if err != nil {
		l.noticed(err)
		return nil, false, err
	}
	clock.Sample(toInt(reply[0]), sent)
	switch toInt(reply[1]) {
	case 0:
		return nil, false, nil
	case -1:
		return nil, false, ErrMoved
	}
	if len(reply) > 2 {
		c = parseClaim(id, lease.Token, asked, reply[2].([]any))
	}
	return c, true, nil
}

// Destroy is End for a caller that knows the ID only.
func (l *Ledger) Destroy(ctx context.Context, id, reason string, lease Lease) (*Claim, bool, error) {
	for {
		rec, err := l.Record(ctx, id)
		if err != nil || len(rec) < token.ProofLength {
			return nil, false, err
		}
		c, ok, err := l.End(ctx, id, string(rec[:token.ProofLength]), reason, lease)
		if !errors.Is(err, ErrMoved) {
			return c, ok, err
		}
	}
}

// Record returns the record of a session, live or ended; empty if there is none.
func (l *Ledger) Record(ctx context.Context, id string) ([]byte, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	rec, err := l.rdb.Get(ctx, l.keys.session(l.keys.bucket(id), id)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return rec, err
}

func parseClaim(id, claim string, asked time.Time, f []any) *Claim {
	c := &Claim{
		End: End{
			ID:      id,
			Record:  []byte(toString(f[0])),
			Reason:  reasonOf(f[1]),
			At:      timeOf(f[2]),
			Left:    leftOf(f[3]),
			Attempt: attemptOf(f[4]),
		},
		Token: claim,
		Done:  toString(f[5]),
		Asked: asked,
	}
	if w, ok := f[6].([]any); ok && len(w) > 0 {
		for _, s := range w {
			c.Watchers = append(c.Watchers, toString(s))
		}
	}
	return c
}
