package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// measureMemory measures how much memory a live session takes in Redis. The sessions begin with
// requests through gin that save the values. The encoded values do not count as overhead. Nor does
// what the library keeps from the first request, because other stores do not keep that.
func (b *bench) measureMemory(ctx context.Context) error {
	encoded, err := lifecycle.Gob.Encode(values())
	if err != nil {
		return err
	}
	ours, err := b.memoryOfOurs(ctx, len(encoded))
	if err != nil {
		return err
	}
	r := b.report
	r.set("memory_overhead_bytes", ours.overhead())
	r.set("memory_total_bytes", ours.total)
	row := func(name string, f footprint, target string) []string {
		return []string{name, fixed(f.total, 0), strconv.Itoa(f.values), strconv.Itoa(f.request), fixed(f.overhead(), 0), target}
	}
	rows := [][]string{row("lifecycle", ours, atMost(ours.overhead(), 450))}
	if !b.servers.clustered { // the other store does not support clusters
		peer, err := b.memoryOfPeer(ctx, len(encoded))
		if err != nil {
			return err
		}
		r.set("redistore_memory_overhead_bytes", peer.overhead())
		r.set("redistore_memory_total_bytes", peer.total)
		rows = append(rows, row("gin-contrib/sessions/redis", peer, ""))
	}
	r.table(fmt.Sprintf("Redis memory of one live session, from %s sessions", count(b.sizes.memory)),
		[]string{"", "bytes", "encoded values", "summary of the first request", "overhead", "target"}, rows)
	return b.servers.flush(ctx)
}

// footprint is the memory of one session, in bytes.
type footprint struct {
	total           float64
	values, request int
}

func (f footprint) overhead() float64 { return f.total - float64(f.values+f.request) }

// memoryOfOurs measures the library.
func (b *bench) memoryOfOurs(ctx context.Context, values int) (f footprint, err error) {
	if err := b.servers.flush(ctx); err != nil {
		return f, err
	}
	rdb := b.servers.client()
	c, m, err := b.ours(ctx, rdb, lifecycle.DefaultPrefix)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, c.close(context.WithoutCancel(ctx))) }()
	if err := atWork(ctx, m); err != nil {
		return f, err
	}
	if f, err = b.grow(ctx, c, values); err != nil {
		return f, err
	}
	// Read one of the records for the size of what it keeps from the request.
	cookie, err := c.do(c.request(ctx, "/login"))
	if err != nil {
		return f, err
	}
	t, ok := token.Parse(cookie, token.MarkOf(lifecycle.DefaultPrefix, cookieName))
	if !ok {
		return f, errors.New("the library's cookie is not a token")
	}
	l := ledger.New(rdb, ledger.Config{Prefix: lifecycle.DefaultPrefix, Buckets: lifecycle.DefaultBuckets, Timeout: 3 * time.Second})
	packed, err := l.Record(ctx, t.ID)
	if err != nil {
		return f, err
	}
	rec, err := record.Unpack(packed)
	if err != nil {
		return f, err
	}
	if len(rec.Values) != values {
		return f, fmt.Errorf("the record has %d bytes of values, not %d", len(rec.Values), values)
	}
	q := rec.Began()
	f.request = len(q.Method) + len(q.URI) + len(q.Host) + len(q.ClientIP) + len(q.UserAgent)
	return f, nil
}

// memoryOfPeer measures gin-contrib/sessions/redis.
func (b *bench) memoryOfPeer(ctx context.Context, values int) (f footprint, err error) {
	if err := b.servers.flush(ctx); err != nil {
		return f, err
	}
	c, err := b.ginSessions()
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, c.close(ctx)) }()
	return b.grow(ctx, c, values)
}

// grow lets sessions begin and returns how much memory one of them takes. Some sessions begin
// before, so that connections and scripts have their memory already.
func (b *bench) grow(ctx context.Context, c *contestant, values int) (footprint, error) {
	const workers = 8
	login := func(_, _ int) error {
		_, err := c.do(c.request(ctx, "/login"))
		return err
	}
	if err := parallelN(ctx, workers, 500, login); err != nil {
		return footprint{}, err
	}
	before, err := b.servers.usedMemory(ctx)
	if err != nil {
		return footprint{}, err
	}
	b.progress("memory: %s sessions of %s", count(b.sizes.memory), c.name)
	if err := parallelN(ctx, workers, b.sizes.memory, login); err != nil {
		return footprint{}, err
	}
	after, err := b.servers.usedMemory(ctx)
	return footprint{total: (after - before) / float64(b.sizes.memory), values: values}, err
}
