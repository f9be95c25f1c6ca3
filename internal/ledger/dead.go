package ledger

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Dead is an end in the dead set.
type Dead struct {
	End
	Error  string // the error of the last attempt
	Buried int64  // when it was put into the dead set, in Unix ms
}

// DeadMark is a position in a bucket's dead set: that of the entry with this time and ID.
// Entries are in the order of their times, and of their IDs if the times are the same. The
// zero value is the position before the first entry.
type DeadMark struct {
	At float64 // the score of the entry: Unix ms
	ID string
}

// covers reports whether z is at the mark or before it.
func (m DeadMark) covers(z redis.Z) bool {
	return m.ID != "" && (z.Score < m.At || z.Score == m.At && z.Member.(string) <= m.ID)
}

// DeadSizes returns how many entries the dead set of each of these buckets has, -1 if it
// was overwritten. The cost is one round trip.
func (l *Ledger) DeadSizes(ctx context.Context, buckets []int) ([]int64, error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	pipe := l.rdb.Pipeline()
	cmds := make([]*redis.IntCmd, len(buckets))
	for i, b := range buckets {
		cmds[i] = pipe.ZCard(ctx, l.keys.dead(b))
	}
	execute(ctx, pipe)
	sizes := make([]int64, len(buckets))
	for i, c := range cmds {
		switch err := c.Err(); {
		case IsOverwritten(err):
			sizes[i] = -1
		case err != nil:
			return nil, err
		default:
			sizes[i] = c.Val()
		}
	}
	return sizes, nil
}

// LastDead returns the position of the last entry of each bucket's dead set, the zero value
// if it has no entry or was overwritten. The cost is one round trip.
func (l *Ledger) LastDead(ctx context.Context) ([]DeadMark, error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	pipe := l.rdb.Pipeline()
	cmds := make([]*redis.ZSliceCmd, l.Buckets())
	for b := range cmds {
		cmds[b] = pipe.ZRangeWithScores(ctx, l.keys.dead(b), -1, -1)
	}
	execute(ctx, pipe)
	last := make([]DeadMark, len(cmds))
	for b, cmd := range cmds {
		if err := cmd.Err(); err != nil && !IsOverwritten(err) {
			return nil, err
		}
		for _, z := range cmd.Val() {
			last[b] = DeadMark{z.Score, z.Member.(string)}
		}
	}
	return last, nil
}

// ReadDead reads a page of a bucket's dead set: at most n of the entries that come after
// from and not after to. If done is false there is more, and the caller passes next as from
// to read the next page. Entries whose end is missing or was overwritten are left out, so a
// page may be shorter.
//
// Positions are entries and not numbers, so that an entry that somebody takes out between
// two pages does not make the caller miss another one. The cost is two round trips, mostly.
func (l *Ledger) ReadDead(ctx context.Context, b int, from, to DeadMark, n int) (found []Dead, next DeadMark, done bool, err error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	entries, done, err := l.deadEntries(ctx, b, from, to, n)
	if err != nil || len(entries) == 0 {
		return nil, from, done, err
	}
	// The records come first: if the end is there after its record was read, it was not
	// dropped in between.
	pipe := l.rdb.Pipeline()
	names := make([]string, len(entries))
	for i, z := range entries {
		names[i] = l.keys.session(b, z.Member.(string))
	}
	records := pipe.MGet(ctx, names...)
	ends := make([]*redis.SliceCmd, len(entries))
	for i, z := range entries {
		ends[i] = pipe.HMGet(ctx, l.keys.end(b, z.Member.(string)), "reason", "at", "left", "attempt", "error")
	}
	execute(ctx, pipe)
	if err := records.Err(); err != nil {
		return nil, from, false, err
	}
	for i, z := range entries {
		next = DeadMark{z.Score, z.Member.(string)}
		f, err := ends[i].Result()
		if err != nil && !IsOverwritten(err) {
			return nil, from, false, err
		}
		if err != nil || f[0] == nil {
			continue
		}
		found = append(found, Dead{
			End: End{
				ID: next.ID, Record: []byte(toString(records.Val()[i])), Reason: reasonOf(f[0]),
				At: timeOf(f[1]), Left: leftOf(f[2]), Attempt: attemptOf(f[3]),
			},
			Error:  toString(f[4]),
			Buried: timeOf(score(z.Score)),
		})
	}
	return found, next, done, nil
}

// deadEntries reads the entries of a page. done is true if no page follows.
func (l *Ledger) deadEntries(ctx context.Context, b int, from, to DeadMark, n int) (entries []redis.Z, done bool, err error) {
	start := "-inf"
	if from.ID != "" {
		start = score(from.At)
	}
	// There is a second round only if more than n were buried in the same millisecond.
	for offset := 0; !done && len(entries) == 0; offset += n {
		page, err := l.rdb.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{
			Key: l.keys.dead(b), Start: start, Stop: score(to.At), ByScore: true, Offset: int64(offset), Count: int64(n),
		}).Result()
		if err != nil {
			return nil, false, err
		}
		done = len(page) < n
		for _, z := range page {
			switch {
			case from.covers(z):
			case to.covers(z):
				entries = append(entries, z)
			default:
				done = true
			}
		}
	}
	return entries, done, nil
}

// score returns a score of a sorted set as Redis takes it.
func score(at float64) string { return strconv.FormatFloat(at, 'f', -1, 64) }

// RetryDead moves an end from the dead set to the due-index, and wakes the instance that
// looks after its bucket. ok is false if the end is not in the dead set.
func (l *Ledger) RetryDead(ctx context.Context, id string) (ok bool, err error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	b := l.keys.bucket(id)
	n, err := retryScript.Run(ctx, l.rdb,
		[]string{l.keys.due(b), l.keys.dead(b), l.keys.end(b, id), l.keys.session(b, id), l.keys.watch(b, id)},
		id, l.keys.wake(b)).Int()
	return n == 1, err
}

// DropDead takes an end out of the dead set for good. If other instances hold closures of
// the session, a tombstone of it stays for that long. ok is false if the end is not in the
// dead set.
func (l *Ledger) DropDead(ctx context.Context, id string, tombstone time.Duration) (ok bool, err error) {
	n, err := l.drop(ctx, l.keys.bucket(id), []string{id}, 0, "", tombstone)
	return n == 1, err
}

// trimBatch is how many ends of one bucket are dropped in one round trip.
const trimBatch = 128

// TrimDead drops the oldest ends of a bucket's dead set, which has size entries, until
// limit are left. It returns how many it has dropped, also with an error. Trimming is
// idempotent: if another instance trims at the same time, limit entries stay all the same.
func (l *Ledger) TrimDead(ctx context.Context, b int, size, limit int64, tombstone time.Duration) (dropped int, err error) {
	for over := size - limit; over > 0; over -= trimBatch {
		ids, latest, err := l.oldestDead(ctx, b, min(over, trimBatch))
		if err != nil || len(ids) == 0 {
			return dropped, err
		}
		n, err := l.drop(ctx, b, ids, limit, latest, tombstone)
		dropped += n
		if err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

// oldestDead returns the first n IDs of a bucket's dead set. latest is the score of the
// last of them.
func (l *Ledger) oldestDead(ctx context.Context, b int, n int64) (ids []string, latest string, err error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	oldest, err := l.rdb.ZRangeWithScores(ctx, l.keys.dead(b), 0, n-1).Result()
	for _, z := range oldest {
		ids, latest = append(ids, z.Member.(string)), score(z.Score)
	}
	return ids, latest, err
}

// drop drops those of ids that are in the dead set of bucket b, as long as the dead set has
// more than keep entries. It leaves out those that were buried after latest; "" means no
// such bound.
func (l *Ledger) drop(ctx context.Context, b int, ids []string, keep int64, latest string, tombstone time.Duration) (dropped int, err error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	n := len(ids)
	keys := make([]string, 2+3*n)
	keys[0], keys[1] = l.keys.due(b), l.keys.dead(b)
	session, end, watch := keys[2:], keys[2+n:], keys[2+2*n:]
	args := make([]any, 4+n)
	args[0], args[1], args[2], args[3] = keep, tombstone.Milliseconds(), latest, l.remember.Milliseconds()
	for i, id := range ids {
		session[i], end[i], watch[i] = l.keys.session(b, id), l.keys.end(b, id), l.keys.watch(b, id)
		args[4+i] = id
	}
	reply, err := dropScript.Run(ctx, l.rdb, keys, args...).Slice()
	for _, r := range reply {
		dropped += int(toInt(r))
	}
	return dropped, err
}
