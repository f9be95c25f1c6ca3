package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Due is an entry of the due-index.
type Due struct {
	ID string
	At int64 // Unix ms
}

// Head is the beginning of a bucket's due-index.
type Head struct {
	Entries []Due
	Foreign int   // how many entries were left out, which name no session of the bucket
	Err     error // the key is no due-index: somebody has overwritten it
}

// An estimate of the clock older than this is renewed along with a look at the
// beginnings of due-indexes.
const headsClockLife = 3 * time.Second

// Heads returns the first n entries of each bucket's due-index, in one round
// trip, and now and then takes a sample of the clock. The buckets are those of one
// shard. Entries that others have put there are left out.
func (l *Ledger) Heads(ctx context.Context, buckets []int, n int) ([]Head, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	if len(buckets) == 0 {
		return nil, nil
	}
	pipe := l.rdb.Pipeline()
	taken := l.sampling(ctx, pipe, buckets[0], headsClockLife)
	cmds := make([]*redis.ZSliceCmd, len(buckets))
	for i, b := range buckets {
		cmds[i] = pipe.ZRangeWithScores(ctx, l.keys.due(b), 0, int64(n-1))
	}
	_, _ = pipe.Exec(ctx) // each has its own error
	if err := taken(); err != nil {
		return nil, err
	}
	heads := make([]Head, len(buckets))
	for i, cmd := range cmds {
		zs, err := cmd.Result()
		if err != nil && !isWrongType(err) {
			l.noticed(err)
			return nil, err
		}
		h := Head{Entries: make([]Due, 0, len(zs)), Err: err}
		for _, z := range zs {
			id := z.Member.(string)
			if !token.ValidID(id) || l.keys.bucket(id) != buckets[i] {
				h.Foreign++
				continue
			}
			h.Entries = append(h.Entries, Due{ID: id, At: int64(z.Score)})
		}
		heads[i] = h
	}
	return heads, nil
}

// Suspect is a session to look at. Hint is what an event said of its live key
// (Expired, Evicted, Deleted) or "".
type Suspect struct {
	ID   string
	Hint string
}

// Looked is what a look at one bucket found.
type Looked struct {
	Claims []*Claim
	// Next is the earliest time at which one of the sessions looked at is next
	// due, 0 if none is.
	Next int64
	// Unreadable are sessions that nothing can be done for: a key of theirs was
	// overwritten by something else, Err says with what words of Redis.
	Unreadable []string
	// Moving is true where nothing was done, as the bucket's slot is on its way from
	// one server to another: it takes until it is there.
	Moving bool
	Err    error
}

// Look looks at sessions, grouped by bucket, in two round trips. Result i is
// that of buckets[i]; where its look failed the result is empty and the error
// says why, while the others stand. A record that was overwritten by something
// else is as good as lost.
func (l *Ledger) Look(ctx context.Context, buckets []int, suspects [][]Suspect, lease Lease) ([]Looked, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()

	type item struct {
		at    int // in buckets
		s     Suspect
		proof *redis.StringCmd
	}
	var items []item
	groups := make([][]int, len(buckets))
	pipe := l.rdb.Pipeline()
	for i, b := range buckets {
		for _, s := range suspects[i] {
			groups[i] = append(groups[i], len(items))
			items = append(items, item{i, s, pipe.GetRange(ctx, l.keys.session(b, s.ID), 0, token.ProofLength-1)})
		}
	}
	found := make([]Looked, len(buckets))
	_, _ = pipe.Exec(ctx) // each has its own error
	for _, x := range items {
		if err := x.proof.Err(); err != nil && !isWrongType(err) {
			l.noticed(err)
			return found, err
		}
	}

	sent, asked := l.shards.base.local(), time.Now()
	ran, results := l.runGroups(ctx, groups, func(group []int) call {
		n := len(group)
		b := buckets[items[group[0]].at]
		keys := make([]string, 1+4*n)
		keys[0] = l.keys.due(b)
		session, live, end, watch := keys[1:], keys[1+n:], keys[1+2*n:], keys[1+3*n:]
		args := make([]any, 2+3*n)
		args[0], args[1] = lease.Token, lease.Duration.Milliseconds()
		id, proof, hint := args[2:], args[2+n:], args[2+2*n:]
		for j, k := range group {
			s, p := items[k].s, items[k].proof.Val()
			id[j], proof[j], hint[j] = s.ID, p, s.Hint
			session[j], end[j], watch[j] = l.keys.session(b, s.ID), l.keys.end(b, s.ID), l.keys.watch(b, s.ID)
			live[j] = l.keys.live(b, s.ID, p)
		}
		return call{b, lookScript, keys, args}
	})
	var errs []error
	for i, cmd := range results {
		looked := &found[items[ran[i][0]].at]
		reply, err := cmd.Slice()
		switch {
		case isWrongType(err):
			looked.Unreadable = append(looked.Unreadable, items[ran[i][0]].s.ID)
			looked.Err = err
			continue
		case IsMoving(err):
			looked.Moving = true
			continue
		case err != nil:
			errs = append(errs, err)
			continue
		}
		now := toInt(reply[0])
		l.Clock(buckets[items[ran[i][0]].at]).Sample(now, sent)
		for j, r := range reply[1:] {
			at := toInt(r)
			if fields, ok := r.([]any); ok {
				looked.Claims = append(looked.Claims, parseClaim(items[ran[i][j]].s.ID, lease.Token, asked, fields))
				at = now + lease.Duration.Milliseconds()
			}
			if at > 0 && (looked.Next == 0 || at < looked.Next) {
				looked.Next = at
			}
		}
	}
	return found, errors.Join(errs...)
}
