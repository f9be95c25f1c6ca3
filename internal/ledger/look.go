package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Suspect is a session to look at: it may have ended.
type Suspect struct {
	ID string
	// Hint is what an event of Redis has said about the session's live key: Expired,
	// Evicted or Deleted; or "", if the session is due. A hint never ends a session. It
	// only becomes the reason, if the look finds that the live key is gone before its time.
	Hint string
}

// Looked is the result of Look for one bucket.
type Looked struct {
	Claims []*Claim // the ends that this look has claimed
	// Next is the earliest time, in Unix ms, at which one of these sessions is due again;
	// 0 if none is.
	Next int64
	// Unreadable are sessions whose end cannot be handled, because one of their keys was
	// overwritten by something that is not lifecycle. Nothing was done for them.
	Unreadable []Unreadable
	// Moving is true if nothing was done, because the bucket's slot is being moved from one
	// server of the cluster to another. The caller looks again later.
	Moving bool
}

// Unreadable is a session for which the script fails.
type Unreadable struct {
	ID  string
	Err error // what Redis reports
}

// Pattern returns a pattern for SCAN that matches all keys of a session, for log lines.
func (l *Ledger) Pattern(id string) string {
	return l.keys.buckets[l.keys.bucket(id)] + "*:" + id + "*"
}

// lookItem is a session that a call of Look looks at.
type lookItem struct {
	at    int // index of its bucket among the buckets of the call
	s     Suspect
	proof *redis.StringCmd // reads the proof from its record
}

// Look looks at sessions. suspects[i] are those of buckets[i], and result i is that of
// buckets[i]. Ends are claimed under terms. If the look at a bucket fails its result is
// empty, and the error says why; the other results are valid all the same. A session whose
// record was overwritten is ended as lost.
//
// The cost is two round trips: the first reads the proofs, of which the names of the live
// keys are made, and the second runs the script. There is a third one if a key of one of
// the sessions was overwritten.
func (l *Ledger) Look(ctx context.Context, buckets []int, suspects [][]Suspect, terms ClaimTerms) ([]Looked, error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()

	results := make([]Looked, len(buckets))
	items, groups, err := l.readProofs(ctx, buckets, suspects)
	if err != nil {
		return results, err
	}
	sent, asked := l.servers.base.local(), time.Now()
	ran, replies := l.runGroups(ctx, groups, func(group []int) call {
		return l.lookCall(buckets[items[group[0]].at], items, group, terms)
	})
	var errs []error
	for i, cmd := range replies {
		at := items[ran[i][0]].at
		reply, err := cmd.Slice()
		switch {
		case IsOverwritten(err): // this group has one item, see runGroups
			results[at].Unreadable = append(results[at].Unreadable, Unreadable{items[ran[i][0]].s.ID, err})
		case IsMoving(err):
			results[at].Moving = true
		case err != nil:
			errs = append(errs, err)
		default:
			l.Clock(buckets[at]).Sample(toInt(reply[0]), sent)
			results[at].add(items, ran[i], reply, terms, asked)
		}
	}
	return results, errors.Join(errs...)
}

// readProofs reads the proofs of all sessions to be looked at, in one round trip. Group i
// has the items of buckets[i].
func (l *Ledger) readProofs(ctx context.Context, buckets []int, suspects [][]Suspect) (items []lookItem, groups [][]int, err error) {
	groups = make([][]int, len(buckets))
	pipe := l.rdb.Pipeline()
	for i, b := range buckets {
		for _, s := range suspects[i] {
			groups[i] = append(groups[i], len(items))
			items = append(items, lookItem{i, s, pipe.GetRange(ctx, l.keys.session(b, s.ID), 0, token.ProofLength-1)})
		}
	}
	execute(ctx, pipe)
	for _, x := range items {
		if err := x.proof.Err(); err != nil && !IsOverwritten(err) {
			l.reloadAfter(err)
			return nil, nil, err
		}
	}
	return items, groups, nil
}

// lookCall returns the call of look.lua that looks at the items of a group, all of bucket b.
func (l *Ledger) lookCall(b int, items []lookItem, group []int, terms ClaimTerms) call {
	n := len(group)
	keys := make([]string, 1+4*n)
	keys[0] = l.keys.due(b)
	session, live, end, watch := keys[1:], keys[1+n:], keys[1+2*n:], keys[1+3*n:]
	args := make([]any, 2+3*n)
	args[0], args[1] = terms.Token, terms.Lease.Milliseconds()
	id, proof, hint := args[2:], args[2+n:], args[2+2*n:]
	for j, k := range group {
		s, p := items[k].s, items[k].proof.Val()
		id[j], proof[j], hint[j] = s.ID, p, s.Hint
		session[j], end[j], watch[j] = l.keys.session(b, s.ID), l.keys.end(b, s.ID), l.keys.watch(b, s.ID)
		live[j] = l.keys.live(b, s.ID, p)
	}
	return call{b, lookScript, keys, args}
}

// add adds what look.lua has replied about the items of a group.
func (x *Looked) add(items []lookItem, group []int, reply []any, terms ClaimTerms, asked time.Time) {
	now := toInt(reply[0])
	for j, r := range reply[1:] {
		next := toInt(r)
		if fields, ok := r.([]any); ok {
			x.Claims = append(x.Claims, parseClaim(items[group[j]].s.ID, terms.Token, asked, fields))
			next = now + terms.Lease.Milliseconds()
		}
		if next > 0 && (x.Next == 0 || next < x.Next) {
			x.Next = next
		}
	}
}
