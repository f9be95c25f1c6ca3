package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// flush deletes everything in Redis. The same transaction reads which sessions are there:
// the checker excuses the loss of these, and of no others. While Redis is away or refuses
// writes, flush tries again. A test that stops Redis must hold f.running meanwhile: else
// the reply could be lost, and nobody would know which sessions it named.
func (f *fleet) flush() {
	f.t.Helper()
	f.running.Lock()
	defer f.running.Unlock()
	rdb := redis.NewClient(&redis.Options{
		Addr: f.redis.Addr, PoolSize: 1, MaxRetries: -1, ReadTimeout: 2 * patience, WriteTimeout: 2 * patience,
	})
	defer func() { _ = rdb.Close() }()
	var err error
	late := redistest.Poll(patience, func() bool {
		err = f.tryFlush(rdb)
		return err == nil || !refused(err)
	})
	if err := errors.Join(late, err); err != nil {
		f.t.Errorf("FLUSHALL: %v", err)
	}
}

// refused reports whether it is certain that Redis executed nothing: Redis replied with
// an error, or could not be reached.
func refused(err error) bool {
	if reply := redis.Error(nil); errors.As(err, &reply) {
		return true
	}
	var dial *net.OpError
	return errors.As(err, &dial) && dial.Op == "dial"
}

// tryFlush flushes once.
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
	var waiting, recorded []string // IDs of sessions in due-indexes and dead sets, and with a record
	for _, ids := range there {
		waiting = append(waiting, ids.Val()...)
	}
	for _, key := range records.Val() {
		recorded = append(recorded, key[strings.LastIndexByte(key, ':')+1:])
	}
	f.known.lostToFlush(waiting, recorded)
	return nil
}
