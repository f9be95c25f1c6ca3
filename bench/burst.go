package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// measureBurst lets many sessions end within one second, beside all the live
// ones, on one instance.
func (b *bench) measureBurst(ctx context.Context) error {
	p, err := b.population(ctx)
	if err != nil {
		return err
	}
	live := b.sizes.live[len(b.sizes.live)-1]
	b.progress("burst: filling up to %s live sessions", count(live))
	if err := p.fill(ctx, live); err != nil {
		return err
	}
	tokens := make([]token.Token, b.sizes.burst)
	for i := range tokens {
		tokens[i] = token.New(token.Timeouts{})
	}
	rec := newRecorder(tokens)
	m, err := b.watch(ctx, p, rec)
	if err != nil {
		return err
	}
	defer func() { _ = m.Shutdown(context.WithoutCancel(ctx)) }()
	clock, err := readClock(ctx, b.servers.admins[0])
	if err != nil {
		return err
	}
	// All of them must have begun before the first ends.
	lead := 5*time.Second + time.Duration(3*float64(len(tokens))/p.rate*float64(time.Second))
	first := clock.now() + lead.Milliseconds()
	b.progress("burst: %s sessions begin, which end within one second in %v", count(len(tokens)), lead.Round(time.Second))
	err = parallelN(ctx, seeders, len(tokens), func(_, i int) error {
		at := deadlineOf(i, len(tokens), first, time.Second)
		tokens[i].Timeouts.Idle = time.Duration(at-clock.now()) * time.Millisecond
		return p.create(ctx, tokens[i])
	})
	if err != nil {
		return err
	}
	ends, err := p.deadlines(ctx, tokens)
	if err != nil {
		return fmt.Errorf("%w; the machine is too slow for the time planned", err)
	}
	if err := clock.wait(ctx, first); err != nil {
		return err
	}
	b.progress("burst: it begins")
	if err := rec.wait(ctx, 2*time.Minute); err != nil {
		return err
	}
	if err := b.checkEnds(rec, ends); err != nil {
		return err
	}

	lag := rec.lag(clock, ends)
	var last float64
	for i := range ends {
		last = max(last, ends[i]+lag[i])
	}
	seconds := (last - slices.Min(ends)) / 1000
	p50, p99 := quantile(lag, 0.5), quantile(lag, 0.99)
	b.report.set("burst_s", seconds)
	b.report.set("burst_lag_p50_ms", p50)
	b.report.set("burst_lag_p99_ms", p99)
	b.report.table(
		fmt.Sprintf("%s sessions end within one second beside %s live ones, one instance%s", count(len(tokens)), count(live), b.servers.suffix()),
		[]string{"", "figure", "target"},
		[][]string{
			{"first deadline to last hook, s", fixed(seconds, 2), atMost(seconds, b.servers.target(5))},
			{"lag p50, ms", count(int(p50)), ""},
			{"lag p99, ms", count(int(p99)), ""},
			{"hooks per second", count(int(float64(len(tokens)) / seconds)), ""},
		})
	return nil
}
