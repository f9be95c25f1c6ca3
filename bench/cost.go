package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/gin-lifecycle/lifecycle"
)

// costs are the measured figures from which reportNeeds computes what many sessions need.
type costs struct {
	idle                                      opCost  // a second of one instance
	visit, read, save, expire, burst, destroy opCost  // expire: one by one; burst: at once; save and destroy: without the read of their request
	fate                                      opCost  // to ask whether a session is still live
	memory, resident                          float64 // bytes of a live session
	publishTold, publishOther                 float64 // CPU µs of a PUBLISH: on the server that gets it, and on each other server of the cluster
	moves                                     []move
}

// measureCost measures what operations cost Redis, and computes from that what very many
// sessions need.
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

// costOfMemory measures how much memory a live session takes, as Redis counts it and as the
// operating system counts it.
func (b *bench) costOfMemory(ctx context.Context, c *costs) error {
	if err := b.servers.flush(ctx); err != nil {
		return err
	}
	// On a new server: one that has had more data before may keep the memory.
	s, err := startServers(ctx, 0)
	if err != nil {
		return err
	}
	return errors.Join(b.fillAndWeigh(ctx, s, c), s.stop())
}

// fillAndWeigh measures the memory of the sessions that it writes to a new server.
func (b *bench) fillAndWeigh(ctx context.Context, s *servers, c *costs) error {
	p, err := newPopulation(ctx, s, "memory", lifecycle.DefaultBuckets)
	if err != nil {
		return err
	}
	if err := p.fill(ctx, 500); err != nil { // so that connections and scripts have their memory
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
}

// reportCost prints what was measured.
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
		{"asking whether a session with a closure lives", "fate", c.fate},
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
