package ledger

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Fate is the result of Fates for one session: whether and how it has ended. The zero
// value means that no end is known.
type Fate struct {
	Ended bool
	End   End    // if Ended; its Reason is Lost if neither an end nor a record is left
	Claim string // the claim of the end that is in force, or ""
	Err   error  // Redis did not answer, or answered with an error
}

// ClaimedBy reports whether an instance has the claim of the end.
func (f Fate) ClaimedBy(instance string) bool {
	by, _, _ := strings.Cut(f.Claim, ":")
	return by == instance
}

// Fates reads what became of sessions that an instance holds closures of. It changes
// nothing. Result i is that of ids[i]; if the end was overwritten it is the zero value. The
// cost is two round trips at most.
func (l *Ledger) Fates(ctx context.Context, ids []string) []Fate {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	pipe := l.rdb.Pipeline()
	exists := make([]*redis.IntCmd, len(ids))
	formats := make([]*redis.StringCmd, len(ids))
	ends := make([]*redis.SliceCmd, len(ids))
	for i, id := range ids {
		b := l.keys.bucket(id)
		exists[i] = pipe.Exists(ctx, l.keys.session(b, id))
		formats[i] = pipe.GetRange(ctx, l.keys.session(b, id), token.ProofLength, token.ProofLength)
		ends[i] = pipe.HMGet(ctx, l.keys.end(b, id), "reason", "at", "left", "attempt", "by")
	}
	execute(ctx, pipe)
	fates := make([]Fate, len(ids))
	pipe = l.rdb.Pipeline()
	records := make(map[int]*redis.StringCmd)
	for i, id := range ids {
		if err := ends[i].Err(); IsOverwritten(err) {
			continue // no end is known
		} else if err = cmp.Or(err, exists[i].Err(), answer(formats[i].Err())); err != nil {
			l.reloadAfter(err)
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
		case formats[i].Val() == string(rune(formatPast)):
			fates[i] = l.lost(id)
			records[i] = pipe.Get(ctx, l.keys.session(l.keys.bucket(id), id))
		case exists[i].Val() == 0:
			fates[i] = l.lost(id)
		}
	}
	if len(records) == 0 {
		return fates
	}
	execute(ctx, pipe)
	for i, cmd := range records {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) && !IsOverwritten(err) {
			fates[i] = Fate{Err: err}
			continue
		}
		record, _ := cmd.Bytes() // empty if it has gone since the first round trip
		if p, ok := UnpackPast(record); !ok {
			fates[i].End.Record = record
		} else if fates[i].End.Reason == Lost {
			fates[i].End = p.end(ids[i])
		}
	}
	return fates
}

// lost returns the fate of a session of which neither an end nor a record is left.
func (l *Ledger) lost(id string) Fate {
	return Fate{Ended: true, End: End{ID: id, Reason: Lost, At: l.ClockOf(id).Unix(), Left: -1, Attempt: 1}}
}
