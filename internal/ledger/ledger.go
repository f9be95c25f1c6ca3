// Package ledger keeps the state of sessions in Redis. It is the only code that
// names a key. Every change of state is one Lua script within one bucket, which
// takes the time from Redis; the scripts' files say what each one guarantees.
package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrBucketMismatch is returned where the prefix was founded with another
// number of buckets.
var ErrBucketMismatch = errors.New("the number of buckets differs from the one recorded in Redis")

// Config is what a Ledger is made of.
type Config struct {
	Prefix  string
	Buckets int
	Timeout time.Duration // bound of every call
	Now     func() time.Time
}

// Ledger is safe for concurrent use.
type Ledger struct {
	rdb     redis.UniversalClient
	keys    keys
	shards  *shards
	timeout time.Duration

	mu    sync.Mutex
	epoch string // "" until the foundation has been read
	ready bool
}

// New returns a ledger on rdb. It does not talk to Redis.
func New(rdb redis.UniversalClient, c Config) *Ledger {
	rdb = bounded(rdb, c.Timeout)
	k := newKeys(c.Prefix, c.Buckets)
	return &Ledger{rdb: rdb, keys: k, shards: newShards(rdb, k, c), timeout: c.Timeout}
}

// bounded returns a client on the same connections whose reads and writes end
// with their context's deadline. go-redis ignores deadlines unless the client
// was made with ContextTimeoutEnabled, in which case it is used as it is. The
// other client is a clone, since the caller's must be left as it is; go-redis's
// clones lack the hooks of AddHook.
func bounded(rdb redis.UniversalClient, timeout time.Duration) redis.UniversalClient {
	// *redis.Client, or a type around it.
	c, ok := rdb.(interface {
		WithTimeout(timeout time.Duration) *redis.Client
		Options() *redis.Options
	})
	if !ok || c.Options().ContextTimeoutEnabled {
		return rdb
	}
	single := c.WithTimeout(timeout)
	single.Options().ContextTimeoutEnabled = true
	return single
}

// Buckets returns the number of buckets.
func (l *Ledger) Buckets() int { return len(l.keys.buckets) }

// Bucket returns the bucket of a session.
func (l *Ledger) Bucket(id string) int { return l.keys.bucket(id) }

func (l *Ledger) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, l.timeout)
}

// Open checks once that Redis can be reached and that the prefix was founded
// with this number of buckets, and founds it if it is new. Every other call needs
// it to have succeeded; a failed one may be repeated.
func (l *Ledger) Open(ctx context.Context) error {
	l.mu.Lock()
	ready := l.ready
	l.mu.Unlock()
	if ready {
		return nil
	}
	if _, err := l.Foundation(ctx); err != nil {
		return err
	}
	_, err := l.Shards(ctx)
	return err
}

// Foundation reads the prefix's foundation, founding it if there is none, and
// without a cluster takes a sample of the clock. It reports whether the data that an
// earlier call of this process saw is gone: flushed, or replaced by another server's.
func (l *Ledger) Foundation(ctx context.Context) (lost bool, err error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	got, err := l.readFoundation(ctx)
	if errors.Is(err, redis.Nil) {
		// Only now: a server that refuses writes must not fail those who read.
		if err = l.rdb.SetNX(ctx, l.keys.foundation(), strconv.Itoa(l.Buckets())+" "+rand.Text(), 0).Err(); err == nil {
			got, err = l.readFoundation(ctx)
		}
	}
	if err != nil {
		l.noticed(err)
		return false, fmt.Errorf("%s: %w", l.keys.foundation(), err)
	}

	n, epoch, _ := strings.Cut(got, " ")
	if n != strconv.Itoa(l.Buckets()) {
		return false, fmt.Errorf("%w: %s says %s, this store %d; use WithBuckets(%s), or WithPrefix for sessions apart from those",
			ErrBucketMismatch, l.keys.foundation(), n, l.Buckets(), n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lost = l.epoch != "" && l.epoch != epoch
	l.epoch, l.ready = epoch, true
	return lost, nil
}

func (l *Ledger) readFoundation(ctx context.Context) (string, error) {
	base := l.shards.base
	if l.Clustered() && base.Unix() != 0 {
		return l.rdb.Get(ctx, l.keys.foundation()).Result()
	}
	sent := base.local()
	pipe := l.rdb.Pipeline()
	now := pipe.Time(ctx)
	got := pipe.Get(ctx, l.keys.foundation())
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return "", err
	}
	base.Sample(now.Val().UnixMilli(), sent)
	return got.Result()
}
