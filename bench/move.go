package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// move says how long it takes to move a bucket from one server to another.
type move struct {
	sessions  int
	bytes     float64
	keys, due time.Duration // keys: all live keys and records; due: the due-index, which moves as one key
}

// costOfMoves moves buckets of several sizes between two servers, as a cluster moves a slot.
func (b *bench) costOfMoves(ctx context.Context, c *costs) error {
	for _, n := range b.sizes.moves {
		b.progress("cost: a bucket of %s sessions moves", count(n))
		m, err := moveBucket(ctx, n)
		if err != nil {
			return err
		}
		c.moves = append(c.moves, m)
	}
	return nil
}

// moveBucket moves a bucket of n sessions.
func moveBucket(ctx context.Context, n int) (m move, err error) {
	from, err := startServers(ctx, 0)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, from.stop()) }()
	to, err := startServers(ctx, 0)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, to.stop()) }()
	p, err := newPopulation(ctx, from, "move", 1)
	if err != nil {
		return m, err
	}
	before, err := from.usedMemory(ctx)
	if err != nil {
		return m, err
	}
	if err := p.fill(ctx, n); err != nil {
		return m, err
	}
	after, err := from.usedMemory(ctx)
	if err != nil {
		return m, err
	}
	m.sessions, m.bytes = n, after-before

	const batch = 100
	var keys []string
	scan := from.admins[0].Scan(ctx, 0, "move:{0}:[ls]*", 1000).Iterator()
	for scan.Next(ctx) {
		keys = append(keys, scan.Val())
	}
	if err := scan.Err(); err != nil {
		return m, err
	}
	if len(keys) != 2*n {
		return m, fmt.Errorf("%d keys of %d sessions", len(keys), n)
	}
	start := time.Now()
	for len(keys) > 0 {
		k := min(batch, len(keys))
		if err := migrate(ctx, from.admins[0], to.nodes[0].Addr, keys[:k]); err != nil {
			return m, err
		}
		keys = keys[k:]
	}
	m.keys = time.Since(start)
	start = time.Now()
	err = migrate(ctx, from.admins[0], to.nodes[0].Addr, []string{"move:{0}:due"})
	m.due = time.Since(start)
	return m, err
}

// migrate moves keys from one server to another.
func migrate(ctx context.Context, from *redis.Client, to string, keys []string) error {
	host, port, err := net.SplitHostPort(to)
	if err != nil {
		return err
	}
	args := []any{"migrate", host, port, "", 0, settleTime.Milliseconds(), "keys"}
	for _, k := range keys {
		args = append(args, k)
	}
	return from.Do(ctx, args...).Err()
}
