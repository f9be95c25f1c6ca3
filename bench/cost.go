package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// costs are the figures of which it is computed what a size needs.
type costs struct {
	idle                                      opCost // a second of one instance
	visit, read, save, expire, burst, destroy opCost // expire one by one, burst at once; save and destroy beside their request's read
	fate                                      opCost
	memory, resident                          float64
	publishTold, publishOther                 float64 // CPU µs of a PUBLISH, on the server that is told and on each other one of a cluster
	moves                                     []move
}

// measureCost measures what operations cost Redis, and from that computes what very
// many sessions need.
func (b *bench) measureCost(ctx context.Context) error {
	var c costs
	for _, measure := range []func(context.Context, *costs) error{b.costOfRequests, b.costOfMemory, b.costOfPublish, b.costOfMoves} {
		if err := measure(ctx, &c); err != nil {
			return err
		}
	}
	b.reportCost(&c)
	b.reportSpread()
	b.reportNeeds(&c)
	return b.servers.flush(ctx)
}

// costOfRequests has several requests served at the same time, by one instance.
func (b *bench) costOfRequests(ctx context.Context, c *costs) (err error) {
	const prefix, workers = "cost", 16
	s, n := b.servers, b.sizes.costs
	if err := s.flush(ctx); err != nil {
		return err
	}
	p, err := newPopulation(ctx, s, prefix, lifecycle.DefaultBuckets)
	if err != nil {
		return err
	}
	app, m, err := b.ours(ctx, s.client(), prefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.close(context.WithoutCancel(ctx))) }()
	app.engine.GET("/visit", func(g *gin.Context) { answer(g, user, nil) })
	app.engine.GET("/destroy", func(g *gin.Context) { answer(g, user, lifecycle.From(g).DestroySession()) })
	if err := atWork(ctx, m); err != nil {
		return err
	}
	clock, err := readClock(ctx, s.admins[0])
	if err != nil {
		return err
	}
	cookies := make([]string, n)
	serve := func(path string, do func(i int, cookie string)) func() error {
		return func() error {
			return parallelN(ctx, workers, n, func(_, i int) error {
				r := *app
				r.cookie = cookies[i]
				cookie, err := r.do(r.request(ctx, path))
				do(i, cookie)
				return err
			})
		}
	}
	nothing := func(int, string) {}
	// Opens connections, loads scripts, and gives each session its values.
	if err := serve("/login", func(i int, cookie string) { cookies[i] = cookie })(); err != nil {
		return err
	}
	b.progress("cost: an idle second")
	if c.idle, err = s.using(ctx, 1, opCost{}, func() error { return clock.wait(ctx, clock.now()+b.sizes.idle.Milliseconds()) }); err != nil {
		return err
	}
	c.idle = c.idle.times(1 / b.sizes.idle.Seconds())
	b.progress("cost: %s of each operation", count(n))
	if c.read, err = s.using(ctx, n, c.idle, serve("/read", nothing)); err != nil {
		return err
	}
	if c.fate, err = b.costOfFates(ctx, p, cookies, c.idle); err != nil {
		return err
	}
	save, err := s.using(ctx, n, c.idle, serve("/save", nothing))
	if err != nil {
		return err
	}
	c.save = save.minus(c.read)
	left, err := s.keyCount(ctx)
	if err != nil {
		return err
	}
	left -= 2 * int64(n) // live key and record of each
	destroy, err := s.using(ctx, n, c.idle, func() error {
		return errors.Join(serve("/destroy", nothing)(), b.noMoreKeys(ctx, left))
	})
	if err != nil {
		return err
	}
	c.destroy = destroy.minus(c.read)
	clear(cookies)
	if c.visit, err = s.using(ctx, n, c.idle, serve("/visit", nothing)); err != nil {
		return err
	}
	if c.expire, err = b.costOfExpiry(ctx, p, clock, c.idle, expiryWindows*b.sizes.window); err != nil {
		return err
	}
	c.burst, err = b.costOfExpiry(ctx, p, clock, c.idle, time.Second)
	return err
}

// costOfFates asks what became of sessions, as an instance does every now and then
// for those that it holds a handler's hook of.
func (b *bench) costOfFates(ctx context.Context, p *population, cookies []string, idle opCost) (opCost, error) {
	const batch = 256 // as the instance does
	ids := make([]string, len(cookies))
	for i, cookie := range cookies {
		t, ok := token.Parse(cookie, token.MarkOf(p.prefix, cookieName))
		if !ok {
			return opCost{}, errors.New("the library's cookie is not a token")
		}
		ids[i] = t.ID
	}
	return b.servers.using(ctx, len(ids), idle, func() error {
		for some := range slices.Chunk(ids, batch) {
			for _, f := range p.ledger.Fates(ctx, some) {
				if f.Err != nil || f.Ended {
					return fmt.Errorf("a live session's fate: %+v", f)
				}
			}
		}
		return nil
	})
}

// expiryWindows is for how many windows of the lag sessions time out one after the
// other. The more come at once, the less each costs.
const expiryWindows = 2

// costOfExpiry lets sessions time out, evenly over a window.
func (b *bench) costOfExpiry(ctx context.Context, p *population, clock serverClock, idle opCost, window time.Duration) (opCost, error) {
	s, n := b.servers, b.sizes.costs
	keys, err := s.keyCount(ctx)
	if err != nil {
		return opCost{}, err
	}
	begin := lead + time.Duration(3*float64(n)/p.rate*float64(time.Second))
	first := clock.now() + begin.Milliseconds()
	err = parallelN(ctx, seeders, n, func(_, i int) error {
		left := deadlineOf(i, n, first, window) - clock.now()
		return p.create(ctx, token.New(token.Mark{}, token.Timeouts{Idle: time.Duration(left) * time.Millisecond}))
	})
	if err != nil {
		return opCost{}, err
	}
	if err := clock.wait(ctx, first-100); err != nil {
		return opCost{}, err
	}
	return s.using(ctx, n, idle, func() error {
		if err := clock.wait(ctx, first+window.Milliseconds()); err != nil {
			return err
		}
		return b.noMoreKeys(ctx, keys)
	})
}

// noMoreKeys waits until all ends are acked that leave so many keys.
func (b *bench) noMoreKeys(ctx context.Context, than int64) error {
	return until(ctx, settleTime, "ends are not acked", func() (bool, error) {
		n, err := b.servers.keyCount(ctx)
		return n <= than, err
	})
}

// costOfMemory measures what a live session takes, as Redis accounts for it and as
// the machine does.
func (b *bench) costOfMemory(ctx context.Context, c *costs) error {
	if err := b.servers.flush(ctx); err != nil {
		return err
	}
	// A server that has had more before keeps the pages.
	s, err := startServers(ctx, 0)
	if err != nil {
		return err
	}
	err = func() error {
		p, err := newPopulation(ctx, s, "memory", lifecycle.DefaultBuckets)
		if err != nil {
			return err
		}
		if err := p.fill(ctx, 500); err != nil { // what connections and scripts take
			return err
		}
		used, err := s.usedMemory(ctx)
		if err != nil {
			return err
		}
		resident, err := s.sum(ctx, "memory", "used_memory_rss")
		if err != nil {
			return err
		}
		n := b.sizes.memory
		b.progress("cost: the memory of %s sessions", count(n))
		if err := p.fill(ctx, 500+n); err != nil {
			return err
		}
		after, err := s.usedMemory(ctx)
		if err != nil {
			return err
		}
		c.memory = (after - used) / float64(n)
		after, err = s.sum(ctx, "memory", "used_memory_rss")
		c.resident = (after - resident) / float64(n)
		return err
	}()
	return errors.Join(err, s.stop())
}

func (b *bench) reportCost(c *costs) {
	var rows [][]string
	for _, o := range []struct {
		name, key string
		cost      opCost
	}{
		{"first visit", "visit", c.visit},
		{"read request", "read", c.read},
		{"save, beside its request's read", "save", c.save},
		{fmt.Sprintf("end by timeout, hooks and ack included, %s a second", count(int(float64(b.sizes.costs)/(expiryWindows*b.sizes.window.Seconds())))), "expire", c.expire},
		{"the same, all within one second", "expire_burst", c.burst},
		{"asking whether a session with a handler's hook lives", "fate", c.fate},
		{"destroy, hooks and ack included, beside its request's read", "destroy", c.destroy},
		{fmt.Sprintf("idle second of one instance, %d buckets", lifecycle.DefaultBuckets), "idle_second", c.idle},
	} {
		b.report.set("cost_cpu_us_"+o.key, o.cost.cpu)
		b.report.set("cost_bytes_in_"+o.key, o.cost.in)
		b.report.set("cost_bytes_out_"+o.key, o.cost.out)
		rows = append(rows, []string{o.name, fixed(o.cost.cpu, 1), count(int(o.cost.in)), count(int(o.cost.out))})
	}
	b.report.table(fmt.Sprintf("What Redis spends on an operation, over %s of each%s", count(b.sizes.costs), b.servers.suffix()),
		[]string{"", "CPU µs", "bytes in", "bytes out"}, rows)

	b.report.set("cost_memory_bytes", c.memory)
	b.report.set("cost_resident_bytes", c.resident)
	b.report.set("cost_publish_us_told", c.publishTold)
	b.report.set("cost_publish_us_other", c.publishOther)
	b.report.table("What else is counted with", []string{"", "figure"}, [][]string{
		{"memory of a live session, bytes", fixed(c.memory, 0)},
		{"the same as resident memory, bytes", fixed(c.resident, 0)},
		{"PUBLISH in a cluster, CPU µs on the server that it is sent to", fixed(c.publishTold, 1)},
		{"PUBLISH in a cluster, CPU µs on each other server", fixed(c.publishOther, 1)},
	})
	rows = nil
	for _, m := range c.moves {
		b.report.set(fmt.Sprintf("move_s_%d", m.sessions), m.keys.Seconds())
		b.report.set(fmt.Sprintf("move_due_ms_%d", m.sessions), 1000*m.due.Seconds())
		rows = append(rows, []string{count(m.sessions), fixed(m.keys.Seconds(), 2), fixed(1000*m.due.Seconds(), 1), fixed(float64(m.bytes)/1e6, 0)})
	}
	b.report.table("A bucket moves to another server (MIGRATE, 100 keys at a time, no network between)",
		[]string{"sessions in it", "live keys and records, s", "its due-index, while its server answers nobody, ms", "memory, MB"}, rows)
}
