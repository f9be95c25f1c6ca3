package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// scalePoint is the lag and the throughput at one size.
type scalePoint struct {
	live, masters int     // 0 masters: a single server
	p50, p99      float64 // of the lag, in ms
	burst         burst
}

// measureScale measures lag and throughput with several numbers of live sessions on a single
// server, and on clusters with several numbers of masters.
func (b *bench) measureScale(ctx context.Context) error {
	most := b.sizes.scaleLive[len(b.sizes.scaleLive)-1]
	if err := enoughMemory(max(most, b.sizes.scaleBeside) + b.sizes.burst); err != nil {
		return err
	}
	if err := b.servers.flush(ctx); err != nil { // the servers of the measurements need the memory
		return err
	}
	b.pop = nil
	sessions, err := b.scaleOn(ctx, 0, b.sizes.scaleLive)
	if err != nil {
		return err
	}
	var clusters []scalePoint
	for _, m := range b.sizes.masters {
		points, err := b.scaleOn(ctx, m, []int{b.sizes.scaleBeside})
		if err != nil {
			return fmt.Errorf("a cluster of %d: %w", m, err)
		}
		clusters = append(clusters, points...)
	}
	b.reportScale(sessions, clusters)
	if b.plots == "" {
		return nil
	}
	return errors.Join(
		plotScale(filepath.Join(b.plots, "scale-sessions.svg"), "live sessions beside, on a single server (log)", sessions,
			func(p scalePoint) int { return p.live }, true),
		plotScale(filepath.Join(b.plots, "scale-cluster.svg"), "masters of the cluster", clusters,
			func(p scalePoint) int { return p.masters }, false))
}

// scaleOn measures with several numbers of live sessions, on servers that it starts.
func (b *bench) scaleOn(ctx context.Context, masters int, live []int) (points []scalePoint, err error) {
	on := *b
	if on.servers, err = startServers(ctx, masters); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, on.servers.stop()) }()
	on.pop = nil
	p, err := on.population(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range live {
		b.progress("scale: filling up to %s live sessions%s", count(n), on.servers.suffix())
		if err := p.fill(ctx, n); err != nil {
			return nil, err
		}
		b.progress("scale: %s sessions were written a second; %d expire within %v", count(int(p.rate)), b.sizes.expiring, b.sizes.window)
		l, err := on.lagOfHooks(ctx, p)
		if err != nil {
			return nil, err
		}
		x := scalePoint{live: n, masters: masters, p50: quantile(l.ms, 0.5), p99: quantile(l.ms, 0.99)}
		if x.burst, err = on.burst(ctx, p); err != nil {
			return nil, err
		}
		points = append(points, x)
	}
	return points, nil
}

// reportScale prints two tables.
func (b *bench) reportScale(sessions, clusters []scalePoint) {
	table := func(title, first, key string, points []scalePoint, of func(scalePoint) int, lagTarget, burstTarget float64) {
		var rows [][]string
		for _, p := range points {
			for name, v := range map[string]float64{"lag_p50_ms": p.p50, "lag_p99_ms": p.p99, "burst_s": p.burst.seconds, "ends_per_s": p.burst.rate()} {
				b.report.set(fmt.Sprintf("scale_%s_%s_%d", key, name, of(p)), v)
			}
			rows = append(rows, []string{count(of(p)), fixed(p.p50, 1), fixed(p.p99, 1), atMost(p.p99, lagTarget),
				count(int(p.burst.rate())), fixed(p.burst.seconds, 2), atMost(p.burst.seconds, burstTarget)})
		}
		b.report.table(title, []string{first, "lag p50 ms", "lag p99 ms", "target p99",
			fmt.Sprintf("ends a second, of %s at once", count(b.sizes.burst)), "these took s", "target"}, rows)
	}
	table("Lag and throughput of ends beside live sessions, one instance and a single server", "live sessions", "sessions",
		sessions, func(p scalePoint) int { return p.live }, 20, 5)
	table(fmt.Sprintf("Lag and throughput of ends on clusters, one instance and %s live sessions", count(b.sizes.scaleBeside)), "masters", "masters",
		clusters, func(p scalePoint) int { return p.masters }, 40, 10)
}

// enoughMemory returns an error if the machine has not enough memory for so many sessions, in
// Redis and in this process.
func enoughMemory(sessions int) error {
	const each = 1000 // bytes, including those of hash tables that grow
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil // not Linux: there is no check
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "MemAvailable" {
			continue
		}
		kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		if err != nil {
			return err
		}
		if need := sessions * each / 1e6; need > kb/1000 {
			return fmt.Errorf("%s sessions take about %s MB, and %s MB are available; see -live", count(sessions), count(need), count(kb/1000))
		}
	}
	return nil
}
