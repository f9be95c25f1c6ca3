package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// The reasons that a look gives to an end. All other reasons are texts of the caller of End.
const (
	Expired = "expired" // the time to live was over; also if nobody noticed an eviction or a deletion
	Evicted = "evicted" // Redis has evicted the live key, to free memory
	Deleted = "deleted" // something that is not lifecycle has deleted the live key
	Lost    = "lost"    // the record is gone
)

// End is an ended session.
type End struct {
	ID      string
	Record  []byte // empty if it is lost
	Reason  string
	At      int64 // when it ended, in Unix ms, 0 if that is not known; if it expired, the last recorded deadline
	Left    int64 // how many ms of its time to live were left, -1 if that is not known
	Attempt int   // the number of the present or last attempt to run the hooks, from 1
}

// Claim is the right to run the hooks of an end.
type Claim struct {
	End
	Token    string   // the name of this claim; no other claim has the same
	Done     string   // Settlement.Done of the last holder that released or buried the end, or ""
	Watchers []string // the instances that hold closures of the session
	// Asked is the time of the process just before it called Redis for the claim. The lease
	// began later, so it lasts at least until Asked plus its duration, however late the
	// reply came.
	Asked time.Time
}

// ClaimTerms are the terms under which a call claims ends.
type ClaimTerms struct {
	Token string        // the name of the claim, unique for each call (see ClaimToken); "" claims nothing
	Lease time.Duration // how long the claim lasts; then another instance may take it over
}

// ClaimToken returns the name of a claim of an instance. The instance gives each number
// once.
func ClaimToken(instance, number string) string { return instance + ":" + number }

// End ends a live session for the given reason, and claims the end under terms. ok is false
// if the session is not live; c is nil then, and also if terms claim nothing.
//
// proof is the proof of the session's secret, if the caller knows it, or "". Knowing it
// saves a round trip. A session whose secret was rotated since then ends all the same: the
// caller once had its secret.
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

// errRotated is returned by endOnce if the session has another secret by now.
var errRotated = errors.New("the session was rotated meanwhile")

// endOnce ends the session, if it is live and has this proof.
func (l *Ledger) endOnce(ctx context.Context, id, proof, reason string, terms ClaimTerms) (c *Claim, ok bool, err error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	b := l.keys.bucket(id)
	clock := l.Clock(b)
	sent, asked := clock.local(), time.Now()
	reply, err := endScript.Run(ctx, l.rdb,
		[]string{l.keys.due(b), l.keys.session(b, id), l.keys.live(b, id, proof), l.keys.end(b, id), l.keys.watch(b, id)},
		id, proof, reason, terms.Token, terms.Lease.Milliseconds(), l.keys.wake(b)).Slice()
	if err != nil {
		l.reloadAfter(err)
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

// Record returns the record of a session, live or ended. It is empty if there is none; a past
// is none.
func (l *Ledger) Record(ctx context.Context, id string) ([]byte, error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	rec, err := l.rdb.Get(ctx, l.keys.session(l.keys.bucket(id), id)).Bytes()
	if _, past := UnpackPast(rec); past || errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return rec, err
}

// parseClaim makes a claim of f, the fields that look.lua and end.lua reply for it.
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
