package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// prefix is that of the population's store.
const prefix = "bench"

// population is the live sessions of one store, written through the library's
// ledger: the same scripts, keys and records as a request makes, without the
// request.
type population struct {
	rdb    *redis.Client
	ledger *ledger.Ledger
	values []byte // encoded
	live   int    // with long timeouts
	rate   float64
}

// writers is how many sessions are written at the same time.
const writers = 64

// population returns the shared population, of no sessions at first.
func (b *bench) population(ctx context.Context) (*population, error) {
	if b.pop != nil {
		return b.pop, nil
	}
	rdb := b.server.client(func(o *redis.Options) { o.PoolSize = writers })
	if err := b.server.flush(ctx, rdb); err != nil {
		return nil, err
	}
	encoded, err := lifecycle.Gob.Encode(values())
	if err != nil {
		return nil, err
	}
	p := &population{
		rdb:    rdb,
		ledger: ledger.New(rdb, ledger.Config{Prefix: prefix, Buckets: lifecycle.DefaultBuckets, Timeout: 30 * time.Second}),
		values: encoded,
		rate:   10_000,
	}
	if err := p.ledger.Open(ctx); err != nil {
		return nil, err
	}
	b.pop = p
	return p, nil
}

// fill adds sessions with idle timeouts from ten minutes to a day until there are
// n of them.
func (p *population) fill(ctx context.Context, n int) error {
	if n <= p.live {
		return nil
	}
	start := time.Now()
	deadline := p.ledger.Clock().Unix() + (7 * 24 * time.Hour).Milliseconds()
	err := parallel(ctx, n-p.live, func(int) error {
		idle := 10*time.Minute + rand.N(24*time.Hour-10*time.Minute)
		return p.create(ctx, token.New(token.Timeouts{Idle: idle.Truncate(time.Millisecond), Deadline: deadline}))
	})
	p.rate = float64(n-p.live) / time.Since(start).Seconds()
	p.live = n
	return err
}

func (p *population) create(ctx context.Context, t token.Token) error {
	rec := record.Pack(record.Record{
		Proof:    t.Proof(),
		Created:  p.ledger.Clock().Unix(),
		Timeouts: t.Timeouts,
		Request:  record.Request{Method: "GET", URI: "/", Host: "example.com", ClientIP: "192.0.2.1", UserAgent: userAgent},
		Values:   p.values,
	})
	ok, err := p.ledger.Create(ctx, t, rec)
	if err == nil && !ok {
		err = errors.New("a session was not begun: its time was over")
	}
	return err
}

// liveKey names the live key of a session.
func liveKey(prefix string, t token.Token) string {
	b := token.Bucket(t.ID, lifecycle.DefaultBuckets)
	return prefix + ":{" + strconv.Itoa(b) + "}:live:" + t.ID + ":" + token.ProofText(t.Proof())
}

// deadlines returns when each key expires, in Unix ms, as Redis itself has it:
// lag is not measured by what the library says of its own deadlines.
func deadlines(ctx context.Context, rdb *redis.Client, keys []string) ([]float64, error) {
	const batch = 1000
	out := make([]float64, 0, len(keys))
	for len(keys) > 0 {
		n := min(batch, len(keys))
		pipe := rdb.Pipeline()
		cmds := make([]*redis.DurationCmd, n)
		for i, key := range keys[:n] {
			cmds[i] = pipe.PExpireTime(ctx, key)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, err
		}
		for i, c := range cmds {
			ms := c.Val().Milliseconds()
			if ms <= 0 {
				return nil, fmt.Errorf("key %s is gone or has no time to live", keys[i])
			}
			out = append(out, float64(ms))
		}
		keys = keys[n:]
	}
	return out, nil
}

// recorder notes when the destroyed hooks of known sessions begin.
type recorder struct {
	index map[string]int
	done  chan struct{} // closed when all have begun

	mu     sync.Mutex
	at     []time.Time
	ended  []time.Time // as the hook was told
	left   int
	others int // hooks of other sessions, or a second time
}

func newRecorder(tokens []token.Token) *recorder {
	r := &recorder{
		index: make(map[string]int, len(tokens)),
		done:  make(chan struct{}),
		at:    make([]time.Time, len(tokens)),
		ended: make([]time.Time, len(tokens)),
		left:  len(tokens),
	}
	for i, t := range tokens {
		r.index[t.ID] = i
	}
	return r
}

// hook is the destroyed hook.
func (r *recorder) hook(_ context.Context, s *lifecycle.Session) error {
	now := time.Now()
	i, ok := r.index[s.ID]
	r.mu.Lock()
	defer r.mu.Unlock()
	if !ok || !r.at[i].IsZero() {
		r.others++
		return nil
	}
	r.at[i], r.ended[i] = now, s.EndedAt
	if r.left--; r.left == 0 {
		close(r.done)
	}
	return nil
}

// wait waits until all hooks have begun.
func (r *recorder) wait(ctx context.Context, timeout time.Duration) error {
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		r.mu.Lock()
		defer r.mu.Unlock()
		return fmt.Errorf("%d of %d hooks have not begun", r.left, len(r.at))
	}
}

// watch starts a manager of the population's store whose destroyed hook is r's.
func (b *bench) watch(ctx context.Context, r *recorder) (*lifecycle.Manager, error) {
	store, err := lifecycle.NewStore(b.server.client(), lifecycle.WithPrefix(prefix), lifecycle.WithLogger(b.log))
	if err != nil {
		return nil, err
	}
	m, err := lifecycle.New(store)
	if err != nil {
		return nil, err
	}
	m.OnSessionDestroyed(r.hook)
	// Its background inherits the label: in a CPU profile -tagfocus=part=manager.
	pprof.Do(ctx, pprof.Labels("part", "manager"), func(ctx context.Context) { err = m.Start(ctx) })
	if err != nil {
		return nil, err
	}
	return m, atWork(ctx, m)
}

// atWork waits until the manager looks after its buckets and hears Redis.
func atWork(ctx context.Context, m *lifecycle.Manager) error {
	return until(ctx, 10*time.Second, "the manager is not at work", func() (bool, error) {
		s := m.Stats()
		return s.Instances > 0 && s.Notifications == lifecycle.NotificationsOn, nil
	})
}
