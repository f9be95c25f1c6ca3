package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// flush deletes everything in Redis, and notes what the same transaction found
// there: that is excused, and nothing else. Where Redis is away or refuses
// writes, it waits. A test that breaks Redis at the same time must hold f.running as
// long as it does not run, else the reply might be lost, and with it the sessions.
func (f *fleet) flush() {
	f.t.Helper()
	f.running.Lock()
	defer f.running.Unlock()
	rdb := redis.NewClient(&redis.Options{
		Addr: f.redis.Addr, PoolSize: 1, MaxRetries: -1, ReadTimeout: 2 * patience, WriteTimeout: 2 * patience,
	})
	defer func() { _ = rdb.Close() }()
	var err error
	late := poll(patience, func() bool {
		err = f.tryFlush(rdb)
		return err == nil || !refused(err)
	})
	if err := errors.Join(late, err); err != nil {
		f.t.Errorf("FLUSHALL: %v", err)
	}
}

// refused reports whether nothing was executed for certain: Redis said so, or could
// not be reached.
func refused(err error) bool {
	if reply := redis.Error(nil); errors.As(err, &reply) {
		return true
	}
	var dial *net.OpError
	return errors.As(err, &dial) && dial.Op == "dial"
}

func (f *fleet) tryFlush(rdb *redis.Client) error {
	ctx := context.Background()
	pipe := rdb.TxPipeline()
	var there []*redis.StringSliceCmd
	for b := range f.setup.Buckets {
		for _, set := range []string{"due", "dead"} {
			there = append(there, pipe.ZRange(ctx, fmt.Sprintf("%s:{%d}:%s", f.setup.Prefix, b, set), 0, -1))
		}
	}
	records := pipe.Keys(ctx, f.setup.Prefix+":{*}:session:*")
	pipe.FlushAll(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	var waiting, recorded []string
	for _, ids := range there {
		waiting = append(waiting, ids.Val()...)
	}
	for _, key := range records.Val() {
		recorded = append(recorded, key[strings.LastIndexByte(key, ':')+1:])
	}
	f.known.lostToFlush(waiting, recorded)
	return nil
}
