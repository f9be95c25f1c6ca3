package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// burst says how many ends within one second were handled.
type burst struct {
	ends              int
	seconds, p50, p99 float64 // seconds: from the first deadline to the last hook; p50 and p99: of the lag, in ms
}

// rate is how many ends were handled in a second.
func (x burst) rate() float64 { return float64(x.ends) / x.seconds }

// measureBurst lets many sessions end within one second on one instance, while many others are
// live.
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
	x, err := b.burst(ctx, p)
	if err != nil {
		return err
	}
	b.report.set("burst_s", x.seconds)
	b.report.set("burst_lag_p50_ms", x.p50)
	b.report.set("burst_lag_p99_ms", x.p99)
	b.report.table(
		fmt.Sprintf("%s sessions end within one second beside %s live ones, one instance%s", count(x.ends), count(live), b.servers.suffix()),
		[]string{"", "figure", "target"},
		[][]string{
			{"first deadline to last hook, s", fixed(x.seconds, 2), atMost(x.seconds, b.servers.target(5))},
			{"lag p50, ms", count(int(x.p50)), ""},
			{"lag p99, ms", count(int(x.p99)), ""},
			{"hooks per second", count(int(x.rate())), ""},
		})
	return nil
}

// burst lets many sessions begin that end within one second. The sessions of p stay live.
func (b *bench) burst(ctx context.Context, p *population) (x burst, err error) {
	tokens := make([]token.Token, b.sizes.burst)
	for i := range tokens {
		tokens[i] = token.New(token.Mark{}, token.Timeouts{})
	}
	rec := newRecorder(tokens)
	m, err := b.watch(ctx, p, rec)
	if err != nil {
		return x, err
	}
	defer func() { _ = m.Shutdown(context.WithoutCancel(ctx)) }()
	clock, err := readClock(ctx, b.servers.admins[0])
	if err != nil {
		return x, err
	}
	// All sessions must have begun before the first one ends.
	lead := 5*time.Second + time.Duration(3*float64(len(tokens))/p.rate*float64(time.Second))
	first := clock.now() + lead.Milliseconds()
	b.progress("burst: %s sessions begin, which end within one second in %v", count(len(tokens)), lead.Round(time.Second))
	err = parallelN(ctx, seeders, len(tokens), func(_, i int) error {
		at := deadlineOf(i, len(tokens), first, time.Second)
		tokens[i] = tokens[i].WithTimeouts(token.Timeouts{Idle: time.Duration(at-clock.now()) * time.Millisecond})
		return p.create(ctx, tokens[i])
	})
	if err != nil {
		return x, err
	}
	ends, err := p.deadlines(ctx, tokens)
	if err != nil {
		return x, fmt.Errorf("%w; the machine is too slow for the time planned", err)
	}
	if err := clock.wait(ctx, first); err != nil {
		return x, err
	}
	b.progress("burst: it begins")
	if err := rec.wait(ctx, 2*time.Minute); err != nil {
		return x, err
	}
	if err := b.checkEnds(rec, ends); err != nil {
		return x, err
	}
	lag := rec.lag(clock, ends)
	var last float64
	for i := range ends {
		last = max(last, ends[i]+lag[i])
	}
	return burst{
		ends:    len(tokens),
		seconds: (last - slices.Min(ends)) / 1000,
		p50:     quantile(lag, 0.5),
		p99:     quantile(lag, 0.99),
	}, nil
}
