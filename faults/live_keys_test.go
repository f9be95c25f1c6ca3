package faults

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// mostRecord is more than a record of these tests may take: 4,096 bytes of values, and
// of a request 2,048 of its URI, 2,048 of header lines and four texts of 512.
const mostRecord = 11 << 10

// liveKeys is what was read of the live keys, now and then.
type liveKeys struct {
	samples, keys atomic.Int64
	longest       atomic.Int64 // time to live, ns
	largest       atomic.Int64 // record, bytes
}

// sample is I12: every live key has a time to live, and none that is longer than what
// the fleet gives; and no record is larger than its parts may be. It reports whether
// Redis told of all of them.
func (l *liveKeys) sample(f *fleet) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pattern := f.setup.Prefix + ":{*}:live:*"
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		keys, next, err := f.rdb.Scan(ctx, cursor, pattern, 1000).Result()
		if err != nil || len(keys) > 0 && l.judge(ctx, f, keys) != nil {
			return false
		}
		cursor = next
	}
	l.samples.Add(1)
	return true
}

func (l *liveKeys) judge(ctx context.Context, f *fleet, keys []string) error {
	pipe := f.rdb.Pipeline()
	times, sizes := make([]*redis.DurationCmd, len(keys)), make([]*redis.IntCmd, len(keys))
	for i, key := range keys {
		times[i], sizes[i] = pipe.PTTL(ctx, key), pipe.StrLen(ctx, recordOf(key))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	for i, key := range keys {
		left, size := times[i].Val(), sizes[i].Val()
		switch {
		case left == -2: // PTTL's word for a key that is gone meanwhile
		case left == -1:
			f.known.breach("I12: %s has no time to live at %s", key, clock(time.Now()))
		case left > f.setup.Idle+clockStep:
			f.known.breach("I12: %s has a time to live of %v at %s", key, left, clock(time.Now()))
		}
		if size > mostRecord {
			f.known.breach("I12: the record of %s has %d bytes at %s", key, size, clock(time.Now()))
		}
		l.keys.Add(1)
		l.longest.Store(max(l.longest.Load(), int64(left)))
		l.largest.Store(max(l.largest.Load(), size))
	}
	return nil
}

// recordOf returns the key of the record of the session whose live key it is.
func recordOf(live string) string {
	bucket, rest, _ := strings.Cut(live, "live:")
	id, _, _ := strings.Cut(rest, ":")
	return bucket + "session:" + id
}

func (l *liveKeys) String() string {
	return fmt.Sprintf("read %d times, %d of them; longest time to live %v, largest record %d bytes",
		l.samples.Load(), l.keys.Load(), time.Duration(l.longest.Load()).Round(time.Millisecond), l.largest.Load())
}
