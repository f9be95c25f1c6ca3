package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// cost is what one operation takes, or one second.
type cost struct {
	commands, roundTrips float64 // as the client sends them
	calls                calls   // as the servers count them, those within scripts included
}

func (c cost) minus(d cost) cost {
	return cost{c.commands - d.commands, c.roundTrips - d.roundTrips, c.calls.minus(d.calls)}
}

// total returns the number of all calls. A command that comes less often than once in a hundred
// operations belongs to the background work and is left out.
func (c cost) total() (n float64) {
	for _, v := range c.calls {
		if v >= leastListed {
			n += v
		}
	}
	return n
}

// operation is one kind of operation and what it takes.
type operation struct {
	name, key string
	cost      cost
}

// measureCommands counts commands and round trips.
func (b *bench) measureCommands(ctx context.Context) error {
	ops, err := b.costOfOperations(ctx)
	if err != nil {
		return err
	}
	idle, err := b.idleSecond(ctx)
	if err != nil {
		return err
	}
	b.reportCommands(append(ops,
		operation{fmt.Sprintf("idle second of an instance, %d buckets", lifecycle.DefaultBuckets), "idle_second", idle}))
	return nil
}

// costOfOperations measures what requests cost, on an instance that it closes afterwards.
func (b *bench) costOfOperations(ctx context.Context) (ops []operation, err error) {
	if err := b.servers.flush(ctx); err != nil {
		return nil, err
	}
	hook := new(counting)
	rdb := b.servers.clientWith(clientOptions{hook: hook})
	// The regular look at every bucket belongs to the idle second, which is measured separately.
	c, m, err := b.ours(ctx, rdb, "commands", lifecycle.WithLookInterval(time.Minute))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close(context.WithoutCancel(ctx))) }()
	c.engine.GET("/visit", func(g *gin.Context) { answer(g, user, nil) })
	c.engine.GET("/rotate", func(g *gin.Context) { answer(g, user, lifecycle.From(g).RotateSession()) })
	c.engine.GET("/destroy", func(g *gin.Context) { answer(g, user, lifecycle.From(g).DestroySession()) })
	if err := atWork(ctx, m); err != nil {
		return nil, err
	}
	n := b.sizes.operations
	b.progress("commands: %d of each operation", n)
	// A session that is the first of its bucket wakes the reaper. With sessions in all buckets
	// that is rare, as it is in real life.
	if err := parallel(ctx, 4*lifecycle.DefaultBuckets, func(int) error {
		_, err := c.do(c.request(ctx, "/login"))
		return err
	}); err != nil {
		return nil, err
	}
	if err := c.login(ctx); err != nil {
		return nil, err
	}
	same := func(int) string { return c.cookie }
	read, err := b.costOf(ctx, c, "/read", n, same, nil)
	if err != nil {
		return nil, err
	}
	save, err := b.costOf(ctx, c, "/save", n, same, nil)
	if err != nil {
		return nil, err
	}
	visit, err := b.costOf(ctx, c, "/visit", n, func(int) string { return "" }, nil)
	if err != nil {
		return nil, err
	}
	rotate, destroy, err := b.costOfOwnSessions(ctx, c, n, hook)
	if err != nil {
		return nil, err
	}
	return []operation{
		{"read request", "read", read},
		{"save", "save", save.minus(read)},
		{"first visit", "first_visit", visit},
		{"rotate", "rotate", rotate.minus(read)},
		{"destroy, its hooks and their end included", "destroy", destroy.minus(read)},
	}, nil
}

// costOfOwnSessions measures the operations that need a session for each request.
func (b *bench) costOfOwnSessions(ctx context.Context, c *contestant, n int, hook *counting) (rotate, destroy cost, err error) {
	cookies := make([]string, 2*n)
	c.cookie = ""
	for i := range cookies {
		if cookies[i], err = c.do(c.request(ctx, "/login")); err != nil {
			return rotate, destroy, err
		}
	}
	rotate, err = b.costOf(ctx, c, "/rotate", n, func(i int) string { return cookies[i] }, nil)
	if err != nil {
		return rotate, destroy, err
	}
	destroy, err = b.costOf(ctx, c, "/destroy", n, func(i int) string { return cookies[n+i] }, hook)
	return rotate, destroy, err
}

// costOf serves n requests and returns the cost of one. Without a hook, it counts what the
// requests themselves send. With a hook, it counts everything that the client sends until the
// sessions of the requests are gone from Redis.
func (b *bench) costOf(ctx context.Context, c *contestant, path string, n int, cookie func(int) string, hook *counting) (cost, error) {
	was := c.cookie
	defer func() { c.cookie = was }()
	if err := b.servers.resetCalls(ctx); err != nil {
		return cost{}, err
	}
	before, err := b.servers.keyCount(ctx)
	if err != nil {
		return cost{}, err
	}
	t := new(tally)
	var commands, trips int64
	if hook != nil {
		commands, trips = hook.all.commands.Load(), hook.all.roundTrips.Load()
	}
	tagged := context.WithValue(ctx, tallyKey{}, t)
	for i := range n {
		c.cookie = cookie(i)
		if _, err := c.do(c.request(tagged, path)); err != nil {
			return cost{}, err
		}
	}
	if hook != nil {
		err := until(ctx, 30*time.Second, "destroyed sessions are not acked", func() (bool, error) {
			size, err := b.servers.keyCount(ctx)
			return size <= before-int64(n), err // each session had a live key and a record, and its end is remembered
		})
		if err != nil {
			return cost{}, err
		}
		t = &tally{}
		t.commands.Store(hook.all.commands.Load() - commands)
		t.roundTrips.Store(hook.all.roundTrips.Load() - trips)
	}
	calls, err := b.servers.calls(ctx)
	for name := range calls {
		calls[name] /= float64(n)
	}
	return cost{float64(t.commands.Load()) / float64(n), float64(t.roundTrips.Load()) / float64(n), calls}, err
}

// idleSecond returns what an instance sends in one second in which nothing happens.
func (b *bench) idleSecond(ctx context.Context) (c cost, err error) {
	if err := b.servers.flush(ctx); err != nil {
		return c, err
	}
	hook := new(counting)
	rdb := b.servers.clientWith(clientOptions{hook: hook})
	ours, m, err := b.ours(ctx, rdb, "idle")
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, ours.close(context.WithoutCancel(ctx))) }()
	if err := atWork(ctx, m); err != nil {
		return c, err
	}
	b.progress("commands: an idle instance for %v", b.sizes.idle)
	clock, err := readClock(ctx, b.servers.admins[0])
	if err != nil {
		return c, err
	}
	if err := b.servers.resetCalls(ctx); err != nil {
		return c, err
	}
	commands, trips := hook.all.commands.Load(), hook.all.roundTrips.Load()
	begin := time.Now()
	if err := clock.wait(ctx, clock.now()+b.sizes.idle.Milliseconds()); err != nil {
		return c, err
	}
	seconds := time.Since(begin).Seconds()
	c.commands = float64(hook.all.commands.Load()-commands) / seconds
	c.roundTrips = float64(hook.all.roundTrips.Load()-trips) / seconds
	c.calls, err = b.servers.calls(ctx)
	for name := range c.calls {
		c.calls[name] /= seconds
	}
	return c, err
}

// reportCommands prints a row for each operation.
func (b *bench) reportCommands(ops []operation) {
	var rows [][]string
	for _, o := range ops {
		b.report.set("commands_"+o.key, o.cost.commands)
		b.report.set("roundtrips_"+o.key, o.cost.roundTrips)
		b.report.set("commandstats_"+o.key, o.cost.total())
		target := ""
		if o.key != "destroy" && o.key != "idle_second" {
			target = atMost(math.Round(100*o.cost.roundTrips)/100, 1)
		}
		rows = append(rows, []string{o.name, fixed(o.cost.roundTrips, 2), target, fixed(o.cost.commands, 2), fixed(o.cost.total(), 2), o.cost.calls.list()})
	}
	b.report.table("Redis commands per operation",
		[]string{"", "round trips", "target", "commands sent", "commands run, in scripts too", "which"}, rows)
}
