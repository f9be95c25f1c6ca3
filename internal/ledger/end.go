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

// ClaimTerms are what a caller asks for with its claims.
type ClaimTerms struct {
	Token string        // unique for the call; "" for no claim
	Lease time.Duration // after this time others may take the claim over
}

// End ends a live session. proof is that of the secret as the caller knows it, which
// saves a round trip, or "". A session that was rotated since ends all the same: the
// caller once had its secret. With terms the end is claimed at once. ok is false if the
// session is not live.
func (l *Ledger) End(ctx context.Context, id, proof, reason string, terms ClaimTerms) (c *Claim, ok bool, err error) {
	for {
		if proof == "" {
			rec, err := l.Record(ctx, id)
			if err != nil || len(rec) < token.ProofLength {
				return nil, false, err
			}
			proof = string(rec[:token.ProofLength])
		}
		c, ok, err = l.endOnce(ctx, id, proof, reason, terms)
		if !errors.Is(err, errRotated) {
			return c, ok, err
		}
		proof = ""
	}
}

// errRotated is returned by endOnce where the session has another secret by now.
var errRotated = errors.New("the session was rotated meanwhile")

// endOnce ends the live session that has this proof.
func (l *Ledger) endOnce(ctx context.Context, id, proof, reason string, terms ClaimTerms) (c *Claim, ok bool, err error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	b := l.keys.bucket(id)
	clock := l.Clock(b)
	sent, asked := clock.local(), time.Now()
	reply, err := endScript.Run(ctx, l.rdb,
		[]string{l.keys.due(b), l.keys.session(b, id), l.keys.live(b, id, proof), l.keys.end(b, id), l.keys.watch(b, id)},
		id, proof, reason, terms.Token, terms.Lease.Milliseconds(), l.keys.wake(b)).Slice()
	if err != nil {
		l.noticed(err)
		return nil, false, err
	}
	clock.Sample(toInt(reply[0]), sent)
	switch toInt(reply[1]) {
	case 0:
		return nil, false, nil
	case -1:
		return nil, false, errRotated
	}
	if len(reply) > 2 {
		c = parseClaim(id, terms.Token, asked, reply[2].([]any))
	}
	return c, true, nil
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
