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

// Heads returns the first n entries of each bucket's due-index, in one round
// trip, and takes a sample of the clock.
func (l *Ledger) Heads(ctx context.Context, buckets []int, n int) ([][]Due, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	sent := l.clock.local()
	pipe := l.rdb.Pipeline()
	now := pipe.Time(ctx)
	cmds := make([]*redis.ZSliceCmd, len(buckets))
	for i, b := range buckets {
		cmds[i] = pipe.ZRangeWithScores(ctx, l.keys.due(b), 0, int64(n-1))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	l.clock.Sample(now.Val().UnixMilli(), sent)
	heads := make([][]Due, len(buckets))
	for i, cmd := range cmds {
		zs := cmd.Val()
		heads[i] = make([]Due, len(zs))
		for j, z := range zs {
			heads[i][j] = Due{ID: z.Member.(string), At: int64(z.Score)}
		}
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
}

// Look looks at sessions, grouped by bucket, in two round trips. Result i is
// that of buckets[i]; where its look failed the result is empty and the error
// says why, while the others stand.
func (l *Ledger) Look(ctx context.Context, buckets []int, suspects [][]Suspect, lease Lease) ([]Looked, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()

	pipe := l.rdb.Pipeline()
	proofs := make([][]*redis.StringCmd, len(buckets))
	for i, b := range buckets {
		proofs[i] = make([]*redis.StringCmd, len(suspects[i]))
		for j, s := range suspects[i] {
			proofs[i][j] = pipe.GetRange(ctx, l.keys.session(b, s.ID), 0, token.ProofLength-1)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return make([]Looked, len(buckets)), err
	}

	calls := make([]call, len(buckets))
	for i, b := range buckets {
		n := len(suspects[i])
		keys := make([]string, 1+4*n)
		keys[0] = l.keys.due(b)
		session, live, end, watch := keys[1:], keys[1+n:], keys[1+2*n:], keys[1+3*n:]
		args := make([]any, 2+3*n)
		args[0], args[1] = lease.Token, lease.Duration.Milliseconds()
		id, proof, hint := args[2:], args[2+n:], args[2+2*n:]
		for j, s := range suspects[i] {
			id[j], proof[j], hint[j] = s.ID, proofs[i][j].Val(), s.Hint
			session[j], end[j], watch[j] = l.keys.session(b, s.ID), l.keys.end(b, s.ID), l.keys.watch(b, s.ID)
			live[j] = l.keys.live(b, s.ID, proofs[i][j].Val())
		}
		calls[i] = call{lookScript, keys, args}
	}
	sent, asked := l.clock.local(), time.Now()
	cmds, err := l.runAll(ctx, calls)
	found := make([]Looked, len(buckets))
	for i, cmd := range cmds {
		reply, cmdErr := cmd.Slice()
		if cmdErr != nil {
			continue
		}
		l.clock.Sample(toInt(reply[0]), sent)
		for j, r := range reply[1:] {
			if fields, ok := r.([]any); ok {
				found[i].Claims = append(found[i].Claims, parseClaim(suspects[i][j].ID, lease.Token, asked, fields))
			} else if at := toInt(r); at > 0 && (found[i].Next == 0 || at < found[i].Next) {
				found[i].Next = at
			}
		}
		if len(found[i].Claims) > 0 {
			at := toInt(reply[0]) + lease.Duration.Milliseconds()
			if found[i].Next == 0 || at < found[i].Next {
				found[i].Next = at
			}
		}
	}
	return found, err
}

// Fate tells what became of a session that an instance holds closures of.
type Fate struct {
	Ended bool
	Claim string // who holds the end's claim, if anybody
	End   End    // if Ended; Reason is Lost if nothing is known
}

// Fates looks up sessions without changing anything, in two round trips at most.
func (l *Ledger) Fates(ctx context.Context, ids []string) ([]Fate, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	pipe := l.rdb.Pipeline()
	exists := make([]*redis.IntCmd, len(ids))
	ends := make([]*redis.SliceCmd, len(ids))
	for i, id := range ids {
		b := l.keys.bucket(id)
		exists[i] = pipe.Exists(ctx, l.keys.session(b, id))
		ends[i] = pipe.HMGet(ctx, l.keys.end(b, id), "reason", "at", "left", "attempt", "by")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	fates := make([]Fate, len(ids))
	pipe = l.rdb.Pipeline()
	records := make(map[int]*redis.StringCmd)
	for i, id := range ids {
		switch f := ends[i].Val(); {
		case f[0] != nil:
			fates[i] = Fate{true, toString(f[4]), End{
				ID: id, Reason: toString(f[0]),
				At: toInt(f[1]), Left: toInt(f[2]), Attempt: int(toInt(f[3])),
			}}
			records[i] = pipe.Get(ctx, l.keys.session(l.keys.bucket(id), id))
		case exists[i].Val() == 0:
			fates[i] = Fate{true, "", End{ID: id, Reason: Lost, At: l.clock.Unix(), Left: -1, Attempt: 1}}
		}
	}
	if len(records) == 0 {
		return fates, nil
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	for i, cmd := range records {
		fates[i].End.Record, _ = cmd.Bytes() // empty if it is gone meanwhile
	}
	return fates, nil
}
