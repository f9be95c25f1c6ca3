package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// population is the live sessions of one store. They are written with the library's ledger: the
// scripts, keys and records are those of a request, but there is no request.
type population struct {
	prefix string
	rdb    redis.UniversalClient
	ledger *ledger.Ledger
	writer *ledger.Ledger // sends several calls in one round trip
	values []byte         // of each session, encoded
	live   int            // sessions with long timeouts
	rate   float64        // sessions written in a second, about
}

const (
	// writers is how many connections and goroutines write at the same time.
	writers = 64
	// seeders is how many sessions are written at the same time.
	seeders = 1024
)

// population returns the population that several measurements share. It is empty at first.
func (b *bench) population(ctx context.Context) (*population, error) {
	if b.pop != nil {
		return b.pop, nil
	}
	if err := b.servers.flush(ctx); err != nil {
		return nil, err
	}
	p, err := newPopulation(ctx, b.servers, "bench", lifecycle.DefaultBuckets)
	if err == nil {
		b.pop = p
	}
	return p, err
}

// newPopulation returns an empty population of the store with this prefix.
func newPopulation(ctx context.Context, s *servers, prefix string, buckets int) (*population, error) {
	encoded, err := lifecycle.Gob.Encode(values())
	if err != nil {
		return nil, err
	}
	rdb := s.clientWith(clientOptions{pool: writers})
	pipeliner, err := rdb.(interface {
		AutoPipelineWithOptions(*redis.AutoPipelineOptions) (*redis.AutoPipeliner, error)
	}).AutoPipelineWithOptions(&redis.AutoPipelineOptions{MaxBatchSize: 256, MaxConcurrentBatches: 4, Unordered: true})
	if err != nil {
		return nil, err
	}
	c := ledger.Config{Prefix: prefix, Buckets: buckets, Timeout: 30 * time.Second}
	p := &population{
		prefix: prefix,
		rdb:    rdb,
		ledger: ledger.New(rdb, c),
		writer: ledger.New(pipeliner, c),
		values: encoded,
		rate:   10_000,
	}
	return p, p.ledger.Open(ctx)
}

// fill adds sessions with idle timeouts between ten minutes and a day until n are live.
func (p *population) fill(ctx context.Context, n int) error {
	if n <= p.live {
		return nil
	}
	start := time.Now()
	deadline := p.ledger.Clock(0).Unix() + (7 * 24 * time.Hour).Milliseconds()
	err := parallelN(ctx, seeders, n-p.live, func(_, _ int) error {
		idle := 10*time.Minute + rand.N(24*time.Hour-10*time.Minute)
		return p.create(ctx, token.New(token.Mark{}, token.Timeouts{Idle: idle.Truncate(time.Millisecond), Deadline: deadline}))
	})
	p.rate = float64(n-p.live) / time.Since(start).Seconds()
	p.live = n
	return err
}

// create writes a session.
func (p *population) create(ctx context.Context, t token.Token) error {
	rec := record.Pack(record.Record{
		Proof:    t.Proof(),
		Created:  p.ledger.ClockOf(t.ID).Unix(),
		Timeouts: t.Timeouts(),
		Request:  record.Request{Method: "GET", URI: "/", Host: "example.com", ClientIP: "192.0.2.1", UserAgent: userAgent},
		Values:   p.values,
	})
	ok, err := p.writer.Create(ctx, t, t.Timeouts().Idle, rec)
	if err == nil && !ok {
		err = errors.New("a session did not begin: its deadline had passed")
	}
	return err
}

// liveKey returns the name of a session's live key.
func liveKey(prefix string, t token.Token) string {
	b := token.Bucket(t.ID, lifecycle.DefaultBuckets)
	return prefix + ":{" + strconv.Itoa(b) + "}:live:" + t.ID + ":" + token.ProofText(t.Proof())
}

// deadlines returns when each key expires, in Unix ms. It asks Redis, so that the lag does not
// depend on the library's own opinion of its deadlines.
func deadlines(ctx context.Context, rdb redis.UniversalClient, keys []string) ([]float64, error) {
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
