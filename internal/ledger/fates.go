package ledger

import (
	"cmp"
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// Fate tells what became of a session that an instance holds closures of.
type Fate struct {
	Ended bool
	Claim string // who holds the end's claim, if anybody
	End   End    // if Ended; Reason is Lost if nothing is known
	Err   error  // Redis did not tell
}

// Fates looks up sessions without changing anything, in two round trips at most.
// Where the end was overwritten by something else nothing is known.
func (l *Ledger) Fates(ctx context.Context, ids []string) []Fate {
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
	_, _ = pipe.Exec(ctx) // each has its own error
	fates := make([]Fate, len(ids))
	pipe = l.rdb.Pipeline()
	records := make(map[int]*redis.StringCmd)
	for i, id := range ids {
		if err := ends[i].Err(); IsOverwritten(err) {
			continue // the end was overwritten by something else
		} else if err = cmp.Or(err, exists[i].Err()); err != nil {
			l.noticed(err)
			fates[i].Err = err
			continue
		}
		switch f := ends[i].Val(); {
		case f[0] != nil:
			fates[i] = Fate{Ended: true, Claim: toString(f[4]), End: End{
				ID: id, Reason: reasonOf(f[0]),
				At: timeOf(f[1]), Left: leftOf(f[2]), Attempt: attemptOf(f[3]),
			}}
			records[i] = pipe.Get(ctx, l.keys.session(l.keys.bucket(id), id))
		case exists[i].Val() == 0:
			fates[i] = Fate{Ended: true, End: End{ID: id, Reason: Lost, At: l.ClockOf(id).Unix(), Left: -1, Attempt: 1}}
		}
	}
	if len(records) == 0 {
		return fates
	}
	_, _ = pipe.Exec(ctx) // each has its own error
	for i, cmd := range records {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) && !IsOverwritten(err) {
			fates[i] = Fate{Err: err}
			continue
		}
		fates[i].End.Record, _ = cmd.Bytes() // empty if it is gone meanwhile
	}
	return fates
}
