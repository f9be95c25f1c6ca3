package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// measureMemory measures what a live session takes in Redis. The sessions begin
// through gin, by a request that saves the values. The encoded values are no
// overhead, nor is what is kept of the first request, which peers do not keep.
func (b *bench) measureMemory(ctx context.Context) error {
	encoded, err := lifecycle.Gob.Encode(values())
	if err != nil {
		return err
	}
	rdb := b.server.client()
	ours, err := b.memoryOfOurs(ctx, rdb, len(encoded))
	if err != nil {
		return err
	}
	peer, err := b.memoryOfPeer(ctx, rdb, len(encoded))
	if err != nil {
		return err
	}
	r := b.report
	r.set("memory_overhead_bytes", ours.overhead())
	r.set("memory_total_bytes", ours.total)
	r.set("redistore_memory_overhead_bytes", peer.overhead())
	r.set("redistore_memory_total_bytes", peer.total)
	row := func(name string, f footprint, target string) []string {
		return []string{name, fixed(f.total, 0), strconv.Itoa(f.values), strconv.Itoa(f.request), fixed(f.overhead(), 0), target}
	}
	r.table(fmt.Sprintf("Redis memory of one live session, from %s sessions", count(b.sizes.memory)),
		[]string{"", "bytes", "encoded values", "summary of the first request", "overhead", "target"},
		[][]string{
			row("lifecycle", ours, atMost(ours.overhead(), 450)),
			row("gin-contrib/sessions/redis", peer, ""),
		})
	return b.server.flush(ctx, rdb)
}

// footprint is one session's share of memory, in bytes.
type footprint struct {
	total           float64
	values, request int
}

func (f footprint) overhead() float64 { return f.total - float64(f.values+f.request) }

func (b *bench) memoryOfOurs(ctx context.Context, rdb *redis.Client, values int) (f footprint, err error) {
	if err := b.server.flush(ctx, rdb); err != nil {
		return f, err
	}
	c, m, err := b.ours(ctx, b.server.client(), lifecycle.DefaultPrefix)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, c.close(context.WithoutCancel(ctx))) }()
	if err := atWork(ctx, m); err != nil {
		return f, err
	}
	if f, err = b.grow(ctx, rdb, c, values); err != nil {
		return f, err
	}
	// One of the records, for the size of what is kept of a request.
	cookie, err := c.do(c.request(ctx, "/login"))
	if err != nil {
		return f, err
	}
	t, ok := token.Parse(cookie)
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
		return f, fmt.Errorf("the record holds %d bytes of values, not %d", len(rec.Values), values)
	}
	q := rec.Request
	f.request = len(q.Method) + len(q.URI) + len(q.Host) + len(q.ClientIP) + len(q.UserAgent)
	return f, nil
}

func (b *bench) memoryOfPeer(ctx context.Context, rdb *redis.Client, values int) (f footprint, err error) {
	if err := b.server.flush(ctx, rdb); err != nil {
		return f, err
	}
	c, err := b.ginSessions()
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, c.close(ctx)) }()
	return b.grow(ctx, rdb, c, values)
}

// grow lets sessions begin and returns what one of them takes. A few that begin
// before keep what connections and scripts take out of the account.
func (b *bench) grow(ctx context.Context, rdb *redis.Client, c *contestant, values int) (footprint, error) {
	const workers = 8
	login := func(_, _ int) error {
		_, err := c.do(c.request(ctx, "/login"))
		return err
	}
	if err := parallelN(ctx, workers, 500, login); err != nil {
		return footprint{}, err
	}
	before, err := b.usedMemory(ctx, rdb)
	if err != nil {
		return footprint{}, err
	}
	b.progress("memory: %s sessions of %s", count(b.sizes.memory), c.name)
	if err := parallelN(ctx, workers, b.sizes.memory, login); err != nil {
		return footprint{}, err
	}
	after, err := b.usedMemory(ctx, rdb)
	return footprint{total: (after - before) / float64(b.sizes.memory), values: values}, err
}

// usedMemory reads the server's used memory once it has stopped changing: hash
// tables that grow exist twice for a moment.
func (b *bench) usedMemory(ctx context.Context, rdb *redis.Client) (float64, error) {
	const steady = 50 // readings in a row, about half a second
	var last float64
	same := 0
	err := until(ctx, 30*time.Second, "the memory in use does not settle", func() (bool, error) {
		fields, err := b.server.info(ctx, rdb, "memory")
		if err != nil {
			return false, err
		}
		used, err := strconv.ParseFloat(fields["used_memory"], 64)
		// A connection's buffer coming or going is no change.
		if used < last-100_000 || used > last+100_000 {
			last, same = used, 0
		}
		same++
		return same >= steady, err
	})
	return last, err
}
