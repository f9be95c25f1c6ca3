package main

import (
	"context"
	"time"
)

// usage is what the servers have used so far: CPU time in µs, and bytes that came in and went
// out.
type usage struct {
	cpu, in, out float64
	at           time.Time
}

// usage reads it, as the sum over all servers.
func (s *servers) usage(ctx context.Context) (u usage, err error) {
	seconds, err := s.sum(ctx, "cpu", "used_cpu_user", "used_cpu_sys")
	if err != nil {
		return u, err
	}
	if u.in, err = s.sum(ctx, "stats", "total_net_input_bytes"); err != nil {
		return u, err
	}
	u.out, err = s.sum(ctx, "stats", "total_net_output_bytes")
	u.cpu, u.at = 1e6*seconds, time.Now()
	return u, err
}

// opCost is what one operation, or one second, costs the servers: CPU time in µs, and bytes in
// and out.
type opCost struct{ cpu, in, out float64 }

func (c opCost) minus(d opCost) opCost { return opCost{c.cpu - d.cpu, c.in - d.in, c.out - d.out} }

func (c opCost) times(n float64) opCost { return opCost{n * c.cpu, n * c.in, n * c.out} }

func (c opCost) plus(d opCost) opCost { return c.minus(d.times(-1)) }

// using returns what the servers use while during runs, divided by n. What idle servers would use
// in the same time is left out; idle is what they use in a second.
func (s *servers) using(ctx context.Context, n int, idle opCost, during func() error) (opCost, error) {
	before, err := s.usage(ctx)
	if err != nil {
		return opCost{}, err
	}
	if err := during(); err != nil {
		return opCost{}, err
	}
	after, err := s.usage(ctx)
	c := opCost{after.cpu - before.cpu, after.in - before.in, after.out - before.out}
	return c.minus(idle.times(after.at.Sub(before.at).Seconds())).times(1 / float64(n)), err
}
