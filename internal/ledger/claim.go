package ledger

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
)

// Held names a claim for the calls of its holder.
type Held struct {
	ID    string
	Token string
}

// Verdict is how a holder is done with a claim.
type Verdict int

// Verdicts.
const (
	Ack     Verdict = iota // the hooks have run: the end is finished
	Release                // give the claim back, to be taken again after a delay
	Bury                   // give up: into the dead set
)

// Settlement is a claim and what its holder decided.
type Settlement struct {
	Held
	Verdict Verdict

	// Of Release and Bury.
	Delay   time.Duration
	Attempt int
	Done    string // opaque; comes back in Claim.Done
	Error   string // empty if no hook has run; what follows the first MaxErrorText bytes is not kept
	// Alone gives it a script call of its own, so that it and others of its bucket
	// cannot fail together.
	Alone bool
}

// MaxErrorText is how many bytes of an error's text are kept with an end.
const MaxErrorText = 1024

// errorText returns what is kept of an error's text; no rune is cut in two.
func errorText(s string) string {
	if len(s) <= MaxErrorText {
		return s
	}
	n := MaxErrorText
	for n > MaxErrorText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Settled is the answer to a settlement. With a nil Err, OK is false where the
// claim was no longer its holder's and nothing was done.
type Settled struct {
	OK  bool
	Err error
}

// Settle carries out settlements in one round trip. Where other instances hold
// closures of an acked session, its record and end stay for tombstone.
func (l *Ledger) Settle(ctx context.Context, instance string, ss []Settlement, tombstone time.Duration) []Settled {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var calls []call
	var owner [][]int           // owner[i] are the settlements that calls[i] carries out
	acks := make(map[int][]int) // by bucket
	for i, s := range ss {
		b := l.keys.bucket(s.ID)
		switch s.Verdict {
		case Ack:
			if s.Alone {
				calls = append(calls, l.ackCall(b, ss, []int{i}, instance, tombstone))
				owner = append(owner, []int{i})
			} else {
				acks[b] = append(acks[b], i)
			}
		case Release:
			calls = append(calls, call{releaseScript, []string{l.keys.due(b), l.keys.end(b, s.ID), l.keys.watch(b, s.ID)},
				[]any{s.ID, s.Token, s.Delay.Milliseconds(), s.Attempt, s.Done, errorText(s.Error), l.keys.wake(b), instance}})
			owner = append(owner, []int{i})
		case Bury:
			calls = append(calls, call{buryScript, []string{l.keys.due(b), l.keys.dead(b), l.keys.end(b, s.ID), l.keys.watch(b, s.ID)},
				[]any{s.ID, s.Token, s.Attempt, s.Done, errorText(s.Error), instance}})
			owner = append(owner, []int{i})
		}
	}
	for b, is := range acks {
		calls = append(calls, l.ackCall(b, ss, is, instance, tombstone))
		owner = append(owner, is)
	}
	cmds, _ := l.runAll(ctx, calls) // each has its own error
	return spread(len(ss), cmds, owner)
}

// ackCall is the call that acks ss[i] for each i of is, all of one bucket.
func (l *Ledger) ackCall(b int, ss []Settlement, is []int, instance string, tombstone time.Duration) call {
	n := len(is)
	keys := make([]string, 1+3*n)
	keys[0] = l.keys.due(b)
	session, end, watch := keys[1:], keys[1+n:], keys[1+2*n:]
	args := make([]any, 2+2*n)
	args[0], args[1] = instance, tombstone.Milliseconds()
	id, claim := args[2:], args[2+n:]
	for j, i := range is {
		s := ss[i]
		session[j], end[j], watch[j] = l.keys.session(b, s.ID), l.keys.end(b, s.ID), l.keys.watch(b, s.ID)
		id[j], claim[j] = s.ID, s.Token
	}
	return call{ackScript, keys, args}
}

// Renew renews leases, in one round trip. OK is false where the claim is no
// longer its holder's.
func (l *Ledger) Renew(ctx context.Context, held []Held, lease time.Duration) []Settled {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var calls []call
	var owner [][]int
	byBucket := make(map[int]int)
	for i, h := range held {
		b := l.keys.bucket(h.ID)
		at, ok := byBucket[b]
		if !ok {
			at = len(calls)
			byBucket[b] = at
			calls = append(calls, call{renewScript, []string{l.keys.due(b)}, []any{lease.Milliseconds()}})
			owner = append(owner, nil)
		}
		calls[at].keys = append(calls[at].keys, l.keys.end(b, h.ID))
		calls[at].args = append(calls[at].args, h.ID, h.Token)
		owner[at] = append(owner[at], i)
	}
	cmds, _ := l.runAll(ctx, calls)
	return spread(len(held), cmds, owner)
}

// spread puts the 0/1 replies of batched calls back into the caller's order.
func spread(n int, cmds []*redis.Cmd, owner [][]int) []Settled {
	out := make([]Settled, n)
	for i, cmd := range cmds {
		reply, err := cmd.Result()
		list, isList := reply.([]any)
		for j, at := range owner[i] {
			switch {
			case err != nil:
				out[at].Err = err
			case isList:
				out[at].OK = toInt(list[j]) == 1
			default:
				out[at].OK = toInt(reply) == 1
			}
		}
	}
	return out
}
