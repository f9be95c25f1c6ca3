package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-lifecycle/lifecycle"
)

// traceHeader is the header that the instance keeps from a session's first request.
const traceHeader = "X-Trace"

// visitKind is a kind of request without a cookie.
type visitKind struct {
	name, key string
	make      func(r *http.Request)
}

// visitKinds are a request as a robot sends it, and one that takes as much space in Redis as
// possible: all its parts are larger than what a record keeps of them.
var visitKinds = []visitKind{
	{"a small URI and user agent", "plain", func(r *http.Request) { r.Header.Set("User-Agent", "robot/1.0") }},
	{"the largest URI, host, user agent and header lines", "largest", func(r *http.Request) {
		r.URL.RawQuery = strings.Repeat("a", 4_000)
		r.Host = strings.Repeat("a", 1_000)
		r.Header.Set("User-Agent", strings.Repeat("a", 1_000))
		// A record keeps 32 lines and 2,048 bytes at most. These are more lines and more bytes.
		r.Header[traceHeader] = slices.Repeat([]string{strings.Repeat("a", 2_048/32-len(traceHeader))}, 64)
	}},
}

// kept is what is in Redis, without what an idle instance has there.
type kept struct {
	bytes    float64
	keys     int64
	sessions int // in the due-index: sessions that are live, or whose end waits
}

// minus returns what was added since before. It is no less than 0 bytes: the memory of an idle
// server varies a little.
func (k kept) minus(before kept) kept {
	return kept{max(k.bytes-before.bytes, 0), k.keys - before.keys, k.sessions - before.sessions}
}

// measureCookieless measures what requests without a cookie leave in Redis: at once, and when
// the unconfirmed timeout is over. For comparison it measures what they leave there without an
// unconfirmed timeout, when the sessions live for the idle timeout. The unconfirmed timeout is
// chosen so that all sessions begin, and are measured, before the first one ends; that is
// checked.
func (b *bench) measureCookieless(ctx context.Context) error {
	timeout, err := b.unconfirmedTimeout(ctx)
	if err != nil {
		return err
	}
	r := b.report
	var rows [][]string
	for _, kind := range visitKinds {
		at, after, seconds, err := b.cookieless(ctx, kind, timeout, timeout)
		if err != nil {
			return err
		}
		_, without, _, err := b.cookieless(ctx, kind, 0, timeout)
		if err != nil {
			return err
		}
		left := float64(max(after.keys, int64(after.sessions)))
		for name, v := range map[string]float64{
			"bytes": at.bytes, "keys": float64(at.keys), "bytes_after": after.bytes, "keys_after": float64(after.keys),
			"left": left, "seconds": seconds, "bytes_without": without.bytes, "keys_without": float64(without.keys),
		} {
			r.set("cookieless_"+name+"_"+kind.key, v)
		}
		rows = append(rows, []string{
			kind.name, count(int(at.bytes)), count(int(at.keys)), count(int(after.bytes)), count(int(after.keys)), count(after.sessions),
			atMost(left, 0), fixed(seconds, 1), count(int(without.bytes)), count(int(without.keys)),
		})
	}
	r.table(
		fmt.Sprintf("What %s requests without a cookie keep in Redis, beside an idle instance, with an unconfirmed timeout of %v (the default is %v)%s",
			count(b.sizes.cookieless), timeout, lifecycle.DefaultUnconfirmedTimeout, b.servers.suffix()),
		[]string{
			"", "at once: bytes", "keys", "after the timeout: bytes", "keys", "sessions", "target", "seconds after the last request",
			fmt.Sprintf("without the timeout, for %v: bytes", lifecycle.DefaultIdleTimeout), "keys",
		}, rows)
	return b.servers.flush(ctx)
}

// unconfirmedTimeout returns a timeout that is long enough: it measures how long some of the
// largest requests take.
func (b *bench) unconfirmedTimeout(ctx context.Context) (time.Duration, error) {
	c, _, err := b.robots(ctx, 0)
	if err != nil {
		return 0, err
	}
	n := max(b.sizes.cookieless/20, 100)
	begin := time.Now()
	err = b.flood(ctx, c, visitKinds[len(visitKinds)-1], n)
	took := time.Since(begin) * time.Duration(b.sizes.cookieless/n)
	return (3*time.Second + 2*took).Round(time.Second), errors.Join(err, c.close(context.WithoutCancel(ctx)))
}

// robots starts an instance on empty servers. An unconfirmed timeout of 0 means none.
func (b *bench) robots(ctx context.Context, unconfirmed time.Duration) (*contestant, *lifecycle.Manager, error) {
	if err := b.servers.flush(ctx); err != nil {
		return nil, nil, err
	}
	c, m, err := b.ours(ctx, b.servers.client(), lifecycle.DefaultPrefix,
		lifecycle.WithUnconfirmedTimeout(unconfirmed), lifecycle.WithRequestHeaders(traceHeader))
	if err != nil {
		return nil, nil, err
	}
	if err := atWork(ctx, m); err != nil {
		return nil, nil, errors.Join(err, c.close(context.WithoutCancel(ctx)))
	}
	return c, m, nil
}

// flood serves n requests of a kind.
func (b *bench) flood(ctx context.Context, c *contestant, kind visitKind, n int) error {
	const workers = 8
	return parallelN(ctx, workers, n, func(_, _ int) error {
		r := c.request(ctx, "/read")
		kind.make(r)
		_, err := c.do(r)
		return err
	})
}

// cookieless serves the requests. It returns what they leave in Redis at once and when the time
// is over, and how many seconds after the last request the second was read.
func (b *bench) cookieless(ctx context.Context, kind visitKind, unconfirmed, over time.Duration) (at, after kept, seconds float64, err error) {
	c, m, err := b.robots(ctx, unconfirmed)
	if err != nil {
		return at, after, 0, err
	}
	defer func() { err = errors.Join(err, c.close(context.WithoutCancel(ctx))) }()
	n := b.sizes.cookieless
	b.progress("cookieless: %s requests with %s, unconfirmed timeout %v", count(n), kind.name, unconfirmed)
	before, err := b.kept(ctx, m)
	if err != nil {
		return at, after, 0, err
	}
	clock, err := readClock(ctx, b.servers.admins[0])
	if err != nil {
		return at, after, 0, err
	}
	first := time.Now()
	if err := b.flood(ctx, c, kind, n); err != nil {
		return at, after, 0, err
	}
	last, ends := time.Now(), clock.now()+over.Milliseconds()
	if at, err = b.kept(ctx, m); err != nil {
		return at, after, 0, err
	}
	at = at.minus(before)
	if at.sessions != n || time.Since(first) > over {
		return at, after, 0, fmt.Errorf("%s of %s sessions were there after %v, of a timeout of %v: the machine is too slow for the time planned",
			count(at.sessions), count(n), time.Since(first).Round(time.Second), over)
	}
	if err := clock.wait(ctx, ends); err != nil {
		return at, after, 0, err
	}
	if unconfirmed > 0 {
		b.progress("cookieless: their ends are waited for")
		giveUp := time.Now().Add(2 * time.Minute)
		err := until(ctx, 3*time.Minute, "the ends are not handled", func() (bool, error) {
			keys, err := b.servers.keyCount(ctx)
			return keys <= before.keys || time.Now().After(giveUp), err
		})
		if err != nil {
			return at, after, 0, err
		}
		seconds = time.Since(last).Seconds()
	}
	after, err = b.kept(ctx, m)
	return at, after.minus(before), seconds, err
}

// kept reads what is in Redis.
func (b *bench) kept(ctx context.Context, m *lifecycle.Manager) (k kept, err error) {
	if k.sessions, err = m.Count(ctx); err != nil {
		return k, err
	}
	if k.keys, err = b.servers.keyCount(ctx); err != nil {
		return k, err
	}
	k.bytes, err = b.servers.usedMemory(ctx)
	return k, err
}
