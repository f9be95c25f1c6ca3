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

// ErrBucketMismatch is returned if the data under the prefix was set up with another
// number of buckets than this ledger has.
var ErrBucketMismatch = errors.New("the number of buckets differs from the one recorded in Redis")

// Config is what New needs.
type Config struct {
	Prefix  string
	Buckets int
	Timeout time.Duration // how long a call may take
	// Remember is for how long an end that is finished is remembered for the visitor who
	// still has the session's token; 0 for not at all. See Previous.
	Remember time.Duration
	Now      func() time.Time // the clock of the process; nil: time.Now
}

// Ledger reads and changes the state of sessions in Redis. It is safe for concurrent use.
type Ledger struct {
	rdb     redis.UniversalClient
	keys    keys
	servers *servers
	timeout time.Duration
	reach   *reach

	remember time.Duration

	mu    sync.Mutex
	epoch string // the random mark of the foundation; "" until it has been read
	ready bool
}

// New returns a ledger that uses rdb. It does not call Redis.
func New(rdb redis.UniversalClient, c Config) *Ledger {
	rdb = heedDeadlines(rdb, c.Timeout)
	k := newKeys(c.Prefix, c.Buckets)
	return &Ledger{rdb: rdb, keys: k, servers: newServers(rdb, k, c), timeout: c.Timeout, remember: c.Remember, reach: newReach(rdb)}
}

// heedDeadlines returns a client on the same connections whose reads and writes end at
// their context's deadline. go-redis ignores deadlines unless the client was made with
// ContextTimeoutEnabled; such a client is returned as it is. Otherwise the result is a
// clone, because the caller's client must not be changed. A clone lacks the hooks that
// were added with AddHook. A cluster's client cannot be cloned and is returned as it is.
func heedDeadlines(rdb redis.UniversalClient, timeout time.Duration) redis.UniversalClient {
	// *redis.Client, or a type that embeds it.
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

// withTimeout returns a context for one call of the ledger.
func (l *Ledger) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, l.timeout)
}

// Open checks that Redis can be reached and that the data under the prefix has this number
// of buckets. If there is no data yet, it writes the foundation. All other calls need Open
// to have succeeded once. After that Open returns nil at once; after an error the caller
// may call it again.
//
// If Redis refuses connections, Open says so at once, with the address.
func (l *Ledger) Open(ctx context.Context) error {
	l.mu.Lock()
	ready := l.ready
	l.mu.Unlock()
	if ready {
		return nil
	}
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	if err := l.reach.refused(ctx); err != nil {
		return fmt.Errorf("connect to Redis at %s: %w", l.Address(), err)
	}
	if _, err := l.Foundation(ctx); err != nil {
		return err
	}
	_, err := l.Servers(ctx)
	return err
}

// Foundation reads the foundation of the prefix, and writes it if there is none. lost is
// true if the data that an earlier call of this process has seen is gone: it was deleted,
// or another server answers. The error is ErrBucketMismatch if the number of buckets is
// another one. Without a cluster, Foundation also samples the clock of Redis.
func (l *Ledger) Foundation(ctx context.Context) (lost bool, err error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	got, err := l.readFoundation(ctx)
	if errors.Is(err, redis.Nil) {
		// Write only if there is none: where Redis refuses writes, reading must still work.
		if err = l.rdb.SetNX(ctx, l.keys.foundation(), strconv.Itoa(l.Buckets())+" "+rand.Text(), 0).Err(); err == nil {
			got, err = l.readFoundation(ctx)
		}
	}
	if err != nil {
		l.reloadAfter(err)
		return false, fmt.Errorf("read the number of buckets from the key %s: %w", l.keys.foundation(), err)
	}

	n, epoch, _ := strings.Cut(got, " ")
	if n != strconv.Itoa(l.Buckets()) {
		return false, fmt.Errorf("%w: the key %s says %s, this store has %d; use WithBuckets(%s), or another WithPrefix for other sessions",
			ErrBucketMismatch, l.keys.foundation(), n, l.Buckets(), n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lost = l.epoch != "" && l.epoch != epoch
	l.epoch, l.ready = epoch, true
	return lost, nil
}

// readFoundation reads the foundation. Without a cluster it also samples the clock, in the
// same round trip.
func (l *Ledger) readFoundation(ctx context.Context) (string, error) {
	base := l.servers.base
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
