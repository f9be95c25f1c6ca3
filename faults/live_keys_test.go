package faults

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// mostRecord is more bytes than a record of these tests may have: 4,096 of values, and from
// the request 2,048 of its URI, 2,048 of header lines and four texts of 512.
const mostRecord = 11 << 10

// samples are the readings of all live keys that a test takes now and then.
type samples struct {
	taken, keys atomic.Int64 // readings, and live keys in all of them
	longest     atomic.Int64 // time to live, in ns
	largest     atomic.Int64 // record, in bytes
}

// take reads all live keys and records and checks I12: every live key has a time to live,
// which is not longer than the fleet's idle timeout, and no record is larger than its parts
// may be. take returns false if Redis did not return all of them.
func (l *samples) take(f *fleet) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pattern := f.setup.Prefix + ":{*}:" + liveKeys
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		keys, next, err := f.rdb.Scan(ctx, cursor, pattern, 1000).Result()
		if err != nil || len(keys) > 0 && l.judge(ctx, f, keys) != nil {
			return false
		}
		cursor = next
	}
	l.taken.Add(1)
	return true
}

// judge checks some live keys and their records.
func (l *samples) judge(ctx context.Context, f *fleet, keys []string) error {
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
		case left == -2: // PTTL's reply for a key that does not exist any more
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

// recordOf returns the key of the record that belongs to a live key.
func recordOf(live string) string {
	bucket, rest, _ := strings.Cut(live, "live:")
	id, _, _ := strings.Cut(rest, ":")
	return bucket + "session:" + id
}

func (l *samples) String() string {
	return fmt.Sprintf("read %d times, %d of them; longest time to live %v, largest record %d bytes",
		l.taken.Load(), l.keys.Load(), time.Duration(l.longest.Load()).Round(time.Millisecond), l.largest.Load())
}
