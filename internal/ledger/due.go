package ledger

import (
	"context"
	"errors"
	"strconv"
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
	Entries         []Due
	NotSessions     int      // how many entries were left out, which name no session of the bucket
	ImpossibleTimes []string // sessions that were left out: theirs are times that nobody of ours has written
	Err             error    // the key is no due-index: somebody has overwritten it
}

// farthest is how far ahead a due entry can be: a session lives for as long, and a
// server's clock may have been set back since.
const farthest = token.MaxTimeout + 30*24*time.Hour

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
		if err != nil && !IsOverwritten(err) {
			l.noticed(err)
			return nil, err
		}
		heads[i] = l.head(buckets[i], zs)
		heads[i].Err = err
	}
	return heads, nil
}

// head tells apart what stands in the due-index of a bucket.
func (l *Ledger) head(b int, zs []redis.Z) Head {
	h := Head{Entries: make([]Due, 0, len(zs))}
	last := float64(l.latest(b))
	for _, z := range zs {
		switch id := z.Member.(string); {
		case !token.ValidID(id) || l.keys.bucket(id) != b:
			h.NotSessions++
		case z.Score < 1 || z.Score > last:
			h.ImpossibleTimes = append(h.ImpossibleTimes, id)
		default:
			h.Entries = append(h.Entries, Due{ID: id, At: int64(z.Score)})
		}
	}
	return h
}

// latest returns the latest time at which an entry of a bucket can be due.
func (l *Ledger) latest(b int) int64 {
	now := l.Clock(b).Unix()
	if now == 0 { // not known yet
		return maxUnix
	}
	return now + farthest.Milliseconds()
}

// Tails is Heads of what is due at a time that cannot be, for the first n such entries
// of each bucket: nothing else would ever come upon them.
func (l *Ledger) Tails(ctx context.Context, buckets []int, n int) ([]Head, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	if len(buckets) == 0 {
		return nil, nil
	}
	pipe := l.rdb.Pipeline()
	cmds := make([]*redis.ZSliceCmd, len(buckets))
	for i, b := range buckets {
		cmds[i] = pipe.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{
			Key: l.keys.due(b), Start: strconv.FormatInt(l.latest(b), 10), Stop: "+inf", ByScore: true, Count: int64(n),
		})
	}
	_, _ = pipe.Exec(ctx) // each has its own error
	tails := make([]Head, len(buckets))
	for i, cmd := range cmds {
		zs, err := cmd.Result()
		if err != nil && !IsOverwritten(err) {
			l.noticed(err)
			return nil, err
		}
		tails[i] = l.head(buckets[i], zs)
	}
	return tails, nil
}

// Postpone puts off the looks at sessions, grouped by bucket, in one round trip, where
// they are due, or due at a time that cannot be.
func (l *Ledger) Postpone(ctx context.Context, buckets []int, ids [][]string, pause time.Duration) error {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var calls []call
	for i, b := range buckets {
		if len(ids[i]) == 0 {
			continue
		}
		c := call{b, postponeScript, []string{l.keys.due(b)}, []any{pause.Milliseconds(), l.latest(b)}}
		for _, id := range ids[i] {
			c.args = append(c.args, id)
		}
		calls = append(calls, c)
	}
	cmds, _ := l.runAll(ctx, calls) // each has its own error
	var errs []error
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && !IsOverwritten(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
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
	// overwritten by something else.
	Unreadable []Unreadable
	// Moving is true where nothing was done, as the bucket's slot is on its way from
	// one server to another: it takes until it is there.
	Moving bool
}

// Unreadable is a session that a script fails for.
type Unreadable struct {
	ID  string
	Err error // Redis's words
}

// Pattern returns a pattern, as SCAN takes it, that the names of a session's keys match.
func (l *Ledger) Pattern(id string) string {
	return l.keys.buckets[l.keys.bucket(id)] + "*:" + id + "*"
}

// Look looks at sessions, grouped by bucket, in two round trips. Result i is
// that of buckets[i]; where its look failed the result is empty and the error
// says why, while the others stand. A record that was overwritten by something
// else is as good as lost.
func (l *Ledger) Look(ctx context.Context, buckets []int, suspects [][]Suspect, terms ClaimTerms) ([]Looked, error) {
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
		if err := x.proof.Err(); err != nil && !IsOverwritten(err) {
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
		args[0], args[1] = terms.Token, terms.Lease.Milliseconds()
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
		case IsOverwritten(err):
			looked.Unreadable = append(looked.Unreadable, Unreadable{items[ran[i][0]].s.ID, err})
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
				looked.Claims = append(looked.Claims, parseClaim(items[ran[i][j]].s.ID, terms.Token, asked, fields))
				at = now + terms.Lease.Milliseconds()
			}
			if at > 0 && (looked.Next == 0 || at < looked.Next) {
				looked.Next = at
			}
		}
	}
	return found, errors.Join(errs...)
}
