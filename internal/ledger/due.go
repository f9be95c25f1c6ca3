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
	At int64 // when the session needs a look, in Unix ms
}

// Head is a part of a bucket's due-index: its beginning (Heads), or the entries with times
// that are too late (Tails).
type Head struct {
	Entries []Due // by time, the earliest first
	// NotSessions is how many entries were left out because they name no session of the
	// bucket. Somebody else has written them.
	NotSessions int
	// ImpossibleTimes are the sessions whose entries were left out because of their times,
	// which lifecycle cannot have written.
	ImpossibleTimes []string
	// Err is set if the key is no due-index: it was overwritten by something that is not
	// lifecycle.
	Err error
}

// maxAhead is how far in the future the time of a due entry can be. A session lives for
// token.MaxTimeout at most, and the clock of a server may have been set back since.
const maxAhead = token.MaxTimeout + 30*24*time.Hour

// headsClockLife is how old the sample of a clock may be before Heads takes a new one.
const headsClockLife = 3 * time.Second

// Heads returns the first n entries of each bucket's due-index, in one round trip. All
// buckets must be on one server. Entries that lifecycle cannot have written are left out.
// Now and then Heads samples the server's clock as well.
func (l *Ledger) Heads(ctx context.Context, buckets []int, n int) ([]Head, error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	if len(buckets) == 0 {
		return nil, nil
	}
	pipe := l.rdb.Pipeline()
	takeSample := l.refreshClock(ctx, pipe, buckets[0], headsClockLife)
	cmds := make([]*redis.ZSliceCmd, len(buckets))
	for i, b := range buckets {
		cmds[i] = pipe.ZRangeWithScores(ctx, l.keys.due(b), 0, int64(n-1))
	}
	execute(ctx, pipe)
	if err := takeSample(); err != nil {
		return nil, err
	}
	heads := make([]Head, len(buckets))
	for i, cmd := range cmds {
		zs, err := cmd.Result()
		if err != nil && !IsOverwritten(err) {
			l.reloadAfter(err)
			return nil, err
		}
		heads[i] = l.head(buckets[i], zs)
		heads[i].Err = err
	}
	return heads, nil
}

// head sorts entries of the due-index of bucket b into those of a Head.
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

// latest returns the latest possible time of an entry in the due-index of bucket b, in
// Unix ms.
func (l *Ledger) latest(b int) int64 {
	now := l.Clock(b).Unix()
	if now == 0 { // there is no sample yet
		return maxUnix
	}
	return now + maxAhead.Milliseconds()
}

// Tails returns, for each bucket, the first n entries whose times are impossibly late. They
// are in Head.ImpossibleTimes. Nothing else would find them, because Heads returns the
// earliest entries. The cost is one round trip.
func (l *Ledger) Tails(ctx context.Context, buckets []int, n int) ([]Head, error) {
	ctx, cancel := l.withTimeout(ctx)
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
	execute(ctx, pipe)
	tails := make([]Head, len(buckets))
	for i, cmd := range cmds {
		zs, err := cmd.Result()
		if err != nil && !IsOverwritten(err) {
			l.reloadAfter(err)
			return nil, err
		}
		tails[i] = l.head(buckets[i], zs)
	}
	return tails, nil
}

// Postpone puts off the looks at sessions by pause. ids[i] are those of buckets[i]. An
// entry is moved only if it is due now, or has an impossibly late time: the deadline of a
// live session, or a lease, stays as it is. Buckets whose due-index was overwritten are
// left out. The cost is one round trip.
func (l *Ledger) Postpone(ctx context.Context, buckets []int, ids [][]string, pause time.Duration) error {
	ctx, cancel := l.withTimeout(ctx)
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
	cmds, _ := l.runAll(ctx, calls) // each command has its own error
	var errs []error
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && !IsOverwritten(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
