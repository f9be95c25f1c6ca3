package ledger

import (
	"context"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
)

// ClaimRef names a claim when its holder calls about it.
type ClaimRef struct {
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
	ClaimRef
	Verdict Verdict

	// Of Release and Bury.
	Delay   time.Duration
	Attempt int
	Done    string // opaque; comes back in Claim.Done
	Error   string // empty if no hook has run; what follows the first MaxErrorText bytes is not kept
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
// claim was no longer its holder's and nothing was done. Overwritten says that a key
// was overwritten by something else: nothing can be done, and to ask again is of no
// use.
type Settled struct {
	OK          bool
	Err         error
	Overwritten error
}

// Settle carries out settlements in one round trip. Where other instances hold
// closures of an acked session, its record and end stay for tombstone.
func (l *Ledger) Settle(ctx context.Context, instance string, ss []Settlement, tombstone time.Duration) []Settled {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var groups [][]int
	acks := make(map[int][]int) // by bucket
	for i, x := range ss {
		if x.Verdict == Ack {
			b := l.keys.bucket(x.ID)
			acks[b] = append(acks[b], i)
		} else {
			groups = append(groups, []int{i})
		}
	}
	groups = slices.AppendSeq(groups, maps.Values(acks))
	ran, results := l.runGroups(ctx, groups, func(group []int) call {
		x := ss[group[0]]
		b := l.keys.bucket(x.ID)
		switch x.Verdict {
		case Release:
			return call{b, releaseScript, []string{l.keys.due(b), l.keys.end(b, x.ID), l.keys.watch(b, x.ID)},
				[]any{x.ID, x.Token, x.Delay.Milliseconds(), x.Attempt, x.Done, errorText(x.Error), l.keys.wake(b), instance}}
		case Bury:
			return call{b, buryScript, []string{l.keys.due(b), l.keys.dead(b), l.keys.end(b, x.ID), l.keys.watch(b, x.ID)},
				[]any{x.ID, x.Token, x.Attempt, x.Done, errorText(x.Error), instance}}
		default:
			return l.ackCall(b, ss, group, instance, tombstone)
		}
	})
	return spread(len(ss), ran, results)
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
	return call{b, ackScript, keys, args}
}

// Renew renews leases, in one round trip. OK is false where the claim is no
// longer its holder's.
func (l *Ledger) Renew(ctx context.Context, held []ClaimRef, lease time.Duration) []Settled {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	byBucket := make(map[int][]int)
	for i, h := range held {
		b := l.keys.bucket(h.ID)
		byBucket[b] = append(byBucket[b], i)
	}
	ran, results := l.runGroups(ctx, slices.Collect(maps.Values(byBucket)), func(group []int) call {
		b := l.keys.bucket(held[group[0]].ID)
		c := call{b, renewScript, []string{l.keys.due(b)}, []any{lease.Milliseconds()}}
		for _, i := range group {
			c.keys = append(c.keys, l.keys.end(b, held[i].ID))
			c.args = append(c.args, held[i].ID, held[i].Token)
		}
		return c
	})
	return spread(len(held), ran, results)
}

// spread puts the 0/1 replies to groups back into the items' order.
func spread(n int, groups [][]int, results []*redis.Cmd) []Settled {
	out := make([]Settled, n)
	for i, cmd := range results {
		reply, err := cmd.Result()
		list, isList := reply.([]any)
		for j, at := range groups[i] {
			switch {
			case IsOverwritten(err):
				out[at].Overwritten = err
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
