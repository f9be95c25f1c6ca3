package ledger

import (
	"context"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
)

// ClaimRef names a claim in the calls of its holder.
type ClaimRef struct {
	ID    string
	Token string
}

// Verdict says what becomes of an end when the holder of its claim settles the claim.
type Verdict int

// The verdicts.
const (
	Ack     Verdict = iota // all hooks have succeeded: the end is finished
	Release                // give the claim back; the end may be claimed again after a delay
	Bury                   // give up: the end goes into the dead set
)

// Settlement is what the holder of a claim decides about it. Delay is for Release, and
// Attempt, Done and Error are for Release and Bury.
type Settlement struct {
	ClaimRef
	Verdict Verdict

	Delay   time.Duration // how long the end must not be claimed
	Attempt int           // how many attempts there were
	Done    string        // which hooks have succeeded; the ledger does not read it; see Claim.Done
	Error   string        // "" if no hook has run; only the first MaxErrorText bytes are kept
}

// MaxErrorText is how many bytes of an error's text an end keeps.
const MaxErrorText = 1024

// errorText returns the part of an error's text that is kept. It cuts no rune in two.
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

// Settled is the result of Settle or Renew for one claim.
type Settled struct {
	// OK is true if it was done. If OK is false and both errors are nil, the caller no
	// longer has the claim, and nothing was done.
	OK bool
	// Err is set if Redis did not answer, or answered with an error. The caller may try
	// again.
	Err error
	// Overwritten is set if a key of the session was overwritten by something that is not
	// lifecycle. Nothing was done, and trying again is of no use.
	Overwritten error
}

// Settle settles claims of instance. Result i is that of ss[i]. The cost is one round trip.
// If other instances hold closures of an acked session, a tombstone of it stays for that
// long. Otherwise its end is remembered for Config.Remember.
func (l *Ledger) Settle(ctx context.Context, instance string, ss []Settlement, tombstone time.Duration) []Settled {
	ctx, cancel := l.withTimeout(ctx)
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
	return settledInOrder(len(ss), ran, results)
}

// ackCall returns the call that acks ss[i] for each i of is, all of bucket b.
func (l *Ledger) ackCall(b int, ss []Settlement, is []int, instance string, tombstone time.Duration) call {
	n := len(is)
	keys := make([]string, 1+3*n)
	keys[0] = l.keys.due(b)
	session, end, watch := keys[1:], keys[1+n:], keys[1+2*n:]
	args := make([]any, 3+2*n)
	args[0], args[1], args[2] = instance, tombstone.Milliseconds(), l.remember.Milliseconds()
	id, claim := args[3:], args[3+n:]
	for j, i := range is {
		s := ss[i]
		session[j], end[j], watch[j] = l.keys.session(b, s.ID), l.keys.end(b, s.ID), l.keys.watch(b, s.ID)
		id[j], claim[j] = s.ID, s.Token
	}
	return call{b, ackScript, keys, args}
}

// Renew renews the leases of claims: they last for lease from now on. Result i is that of
// held[i]. The cost is one round trip.
func (l *Ledger) Renew(ctx context.Context, held []ClaimRef, lease time.Duration) []Settled {
	ctx, cancel := l.withTimeout(ctx)
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
	return settledInOrder(len(held), ran, results)
}

// settledInOrder returns the results of n items, in their order, from the 1 or 0 that the
// scripts have replied for groups of them.
func settledInOrder(n int, groups [][]int, results []*redis.Cmd) []Settled {
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
