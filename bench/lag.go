package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

const (
	// lead is how long after the sessions begin the first of them expires.
	lead = 5 * time.Second
	// touched is how long after the sessions begin some of them are used again.
	touched = 2 * time.Second
)

// lags are delays after a deadline, in ms. For an event that never came, the delay is how long
// the measurement waited: so a quantile may be too low, but never too high.
type lags struct {
	ms      []float64
	missing int // events that never came
}

// measureLag measures how long after a session's deadline its destroyed hook starts, with
// several numbers of other live sessions. For comparison it measures how long Redis takes to
// send its own event. No manager runs then: it would look at the keys, and that makes Redis send
// their events.
func (b *bench) measureLag(ctx context.Context) error {
	p, err := b.population(ctx)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, n := range b.sizes.live {
		b.progress("lag: filling up to %s live sessions", count(n))
		if err := p.fill(ctx, n); err != nil {
			return err
		}
		b.progress("lag: %d sessions expire within %v beside them", b.sizes.expiring, b.sizes.window)
		ours, err := b.lagOfHooks(ctx, p)
		if err != nil {
			return err
		}
		row := b.lagRow(n, ours)
		if !b.servers.clustered {
			b.progress("lag: %d keys without a manager; Redis's own events are waited for", b.sizes.expiring)
			native, err := b.lagOfEvents(ctx, p)
			if err != nil {
				return err
			}
			row = append(row, b.nativeRow(n, native)...)
		}
		rows = append(rows, row)
	}
	head := []string{"beside live sessions", "p50 ms", "p99 ms", "target p99"}
	if !b.servers.clustered {
		head = append(head, "Redis's `expired` event: p50 ms", "p99 ms",
			fmt.Sprintf("not fired %v after the last deadline", b.sizes.nativeWait))
	}
	b.report.table(
		fmt.Sprintf("Lag from the deadline to the destroyed hook, %s sessions over %v%s", count(b.sizes.expiring), b.sizes.window, b.servers.suffix()),
		head, rows)
	return nil
}

// lagRow returns the cells of the library.
func (b *bench) lagRow(n int, ours lags) []string {
	p50, p99 := quantile(ours.ms, 0.5), quantile(ours.ms, 0.99)
	b.report.set(fmt.Sprintf("lag_p50_ms_%d", n), p50)
	b.report.set(fmt.Sprintf("lag_p99_ms_%d", n), p99)
	return []string{count(n), fixed(p50, 1), fixed(p99, 1), atMost(p99, b.servers.target(20))}
}

// nativeRow returns the cells of Redis's own events.
func (b *bench) nativeRow(n int, native lags) []string {
	n50, n99 := quantile(native.ms, 0.5), quantile(native.ms, 0.99)
	for key, v := range map[string]float64{"native_p50_ms": n50, "native_p99_ms": n99, "native_missing": float64(native.missing)} {
		b.report.set(fmt.Sprintf("%s_%d", key, n), v)
	}
	atLeast := func(q, v float64) string {
		if float64(native.missing) > (1-q)*float64(len(native.ms)) {
			return "> " + count(int(v))
		}
		return count(int(math.Round(v)))
	}
	return []string{atLeast(0.5, n50), atLeast(0.99, n99),
		fmt.Sprintf("%s of %s", count(native.missing), count(len(native.ms)))}
}

// deadlineOf spreads n deadlines evenly over a window that begins at first.
func deadlineOf(i, n int, first int64, window time.Duration) int64 {
	return first + int64(i)*window.Milliseconds()/int64(n)
}

// lagOfHooks lets sessions with different timeouts expire and measures the lag of their hooks.
// A third of the sessions are used once after they have begun. Their deadlines are later than
// their due entries then, as those of most sessions are in real life.
func (b *bench) lagOfHooks(ctx context.Context, p *population) (lags, error) {
	tokens := make([]token.Token, b.sizes.expiring)
	for i := range tokens {
		tokens[i] = token.New(token.Mark{}, token.Timeouts{})
	}
	rec := newRecorder(tokens)
	m, err := b.watch(ctx, p, rec)
	if err != nil {
		return lags{}, err
	}
	defer func() { _ = m.Shutdown(context.WithoutCancel(ctx)) }()
	clock, err := readClock(ctx, b.servers.admins[0])
	if err != nil {
		return lags{}, err
	}
	begin := clock.now()
	touchAt, first := begin+touched.Milliseconds(), begin+lead.Milliseconds()
	err = parallel(ctx, len(tokens), func(i int) error {
		from := clock.now()
		if i%3 == 0 {
			from = touchAt
		}
		idle := deadlineOf(i, len(tokens), first, b.sizes.window) - from
		tokens[i] = tokens[i].WithTimeouts(token.Timeouts{Idle: time.Duration(idle) * time.Millisecond})
		return p.create(ctx, tokens[i])
	})
	if err != nil {
		return lags{}, err
	}
	if err := clock.wait(ctx, touchAt); err != nil {
		return lags{}, err
	}
	err = parallel(ctx, (len(tokens)+2)/3, func(i int) error {
		found := p.ledger.Load(ctx, tokens[3*i])[0]
		err := found.Err
		if err == nil && !found.Live {
			err = fmt.Errorf("session %s ended too early", tokens[3*i].ID)
		}
		return err
	})
	if err != nil {
		return lags{}, err
	}
	ends, err := p.deadlines(ctx, tokens)
	if err != nil {
		return lags{}, err
	}
	if err := rec.wait(ctx, lead+b.sizes.window+time.Minute); err != nil {
		return lags{}, err
	}
	return lags{ms: rec.lag(clock, ends)}, b.checkEnds(rec, ends)
}

// deadlines returns when each session expires, in Unix ms.
func (p *population) deadlines(ctx context.Context, tokens []token.Token) ([]float64, error) {
	keys := make([]string, len(tokens))
	for i, t := range tokens {
		keys[i] = liveKey(p.prefix, t)
	}
	return deadlines(ctx, p.rdb, keys)
}

// lag returns how long after its deadline each hook started, in ms.
func (r *recorder) lag(clock serverClock, ends []float64) []float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]float64, len(ends))
	for i, end := range ends {
		out[i] = clock.ms(r.at[i]) - end
	}
	return out
}

// checkEnds compares the hooks' EndedAt with the deadlines that Redis had.
func (b *bench) checkEnds(r *recorder, ends []float64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, end := range ends {
		if endedAt := float64(r.ended[i].UnixMilli()); math.Abs(endedAt-end) > 5 {
			return fmt.Errorf("a hook got an EndedAt that is %.0f ms after the deadline", endedAt-end)
		}
	}
	if r.others > 0 {
		b.progress("%d hooks ran for other sessions or again", r.others)
	}
	return nil
}
