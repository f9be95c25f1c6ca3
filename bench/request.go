package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/pprof"
	"time"
)

// sink is a ResponseWriter that is used for all requests, so that its own allocations do not
// count.
type sink struct {
	header http.Header
	status int
	body   []byte
}

func (w *sink) Header() http.Header { return w.header }
func (w *sink) WriteHeader(s int)   { w.status = s }
func (w *sink) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.body = append(w.body, p...)
	return len(p), nil
}

// reset empties the sink.
func (w *sink) reset() {
	clear(w.header)
	w.status, w.body = 0, w.body[:0]
}

// round serves n requests, one after the other. It returns how many nanoseconds and allocations
// one of them took.
func (c *contestant) round(ctx context.Context, path string, n int) (ns, allocs float64, err error) {
	requests := make([]*http.Request, n)
	for i := range requests {
		requests[i] = c.request(ctx, path)
	}
	w := &sink{header: make(http.Header)}
	var before, after runtime.MemStats
	pprof.Do(ctx, pprof.Labels("request", c.name+" "+path), func(context.Context) {
		runtime.ReadMemStats(&before)
		start := time.Now()
		for _, r := range requests {
			w.reset()
			c.engine.ServeHTTP(w, r)
			if w.status != http.StatusOK || string(w.body) != user {
				err = fmt.Errorf("%s: %s: status %d: %s", c.name, path, w.status, w.body)
				return
			}
		}
		ns = float64(time.Since(start).Nanoseconds()) / float64(n)
		runtime.ReadMemStats(&after)
	})
	return ns, float64(after.Mallocs-before.Mallocs) / float64(n), err
}

// measureRequest measures a request with an existing session. How long a round trip takes depends
// on where the kernel has placed the two ends of the connection, and that does not change as long
// as the connection lives. So all contestants get new connections several times.
func (b *bench) measureRequest(ctx context.Context) error {
	kinds := []string{"read", "save"}
	var names []string
	ns, allocs := make(map[string][][]float64), make(map[string][][]float64)
	for i := range b.sizes.anew {
		b.progress("request: connections %d of %d, %d rounds of %d requests each", i+1, b.sizes.anew, b.sizes.rounds, b.sizes.requests)
		all, closeAll, err := b.contestants(ctx)
		for _, kind := range kinds {
			if err != nil {
				break
			}
			var n, a [][]float64
			n, a, err = b.rounds(ctx, all, "/"+kind)
			ns[kind], allocs[kind] = appendEach(ns[kind], n), appendEach(allocs[kind], a)
		}
		if err = errors.Join(err, closeAll()); err != nil {
			return err
		}
		names = names[:0]
		for _, c := range all {
			names = append(names, c.name)
		}
	}
	for _, kind := range kinds {
		b.reportRequest(kind, names, ns[kind], allocs[kind])
	}
	return nil
}

// contestants starts the contestants, each with a session.
func (b *bench) contestants(ctx context.Context) (all []*contestant, closeAll func() error, err error) {
	closeAll = func() error {
		var errs []error
		for _, c := range all {
			errs = append(errs, c.close(context.WithoutCancel(ctx)))
		}
		return errors.Join(errs...)
	}
	if err := b.servers.flush(ctx); err != nil {
		return nil, closeAll, err
	}
	life, _, err := b.ours(ctx, b.servers.client(), "request")
	if err != nil {
		return nil, closeAll, err
	}
	all = append(all, life)
	if err := life.login(ctx); err != nil {
		return all, closeAll, err
	}
	floor, err := b.floor(ctx, life)
	if err != nil {
		return all, closeAll, err
	}
	all = append(all, floor)
	if b.servers.clustered { // the other store does not support clusters
		return all, closeAll, nil
	}
	peer, err := b.ginSessions()
	if err != nil {
		return all, closeAll, err
	}
	all = append(all, peer)
	return all, closeAll, peer.login(ctx)
}

// appendEach appends each slice of more to the one of the same index.
func appendEach(to, more [][]float64) [][]float64 {
	if to == nil {
		return more
	}
	for i := range more {
		to[i] = append(to[i], more[i]...)
	}
	return to
}

// rounds lets the contestants take turns. ns[i] and allocs[i] are those of contestant i, by
// round. Each round begins with another contestant.
func (b *bench) rounds(ctx context.Context, all []*contestant, path string) (ns, allocs [][]float64, err error) {
	ns, allocs = make([][]float64, len(all)), make([][]float64, len(all))
	for i := -1; i < b.sizes.rounds; i++ { // the first round does not count
		for j := range all {
			at := (i + 1 + j) % len(all)
			n, a, err := all[at].round(ctx, path, b.sizes.requests)
			if err = errors.Join(err, ctx.Err()); err != nil {
				return nil, nil, err
			}
			if i >= 0 {
				ns[at], allocs[at] = append(ns[at], n), append(allocs[at], a)
			}
		}
	}
	return ns, allocs, nil
}

// reportRequest prints a row for each contestant.
func (b *bench) reportRequest(kind string, names []string, ns, allocs [][]float64) {
	r := b.report
	ratioTargets := map[string]map[string]float64{
		"read": {"_floor": 1.25, "_ginsessions": 0.60},
		"save": {"_floor": 1.25, "_ginsessions": 0.60},
	}[kind]
	var rows [][]string
	for i, key := range []string{"", "_floor", "_ginsessions"}[:len(names)] {
		took, allocated := median(ns[i]), median(allocs[i])
		r.set(kind+"_ns"+key, took)
		r.set(kind+"_allocs"+key, allocated)
		ratio, target := "", ""
		switch {
		case i > 0:
			v := median(ratios(ns[0], ns[i]))
			r.set(kind+"_ratio"+key, v)
			ratio = fixed(v, 2)
			if most, ok := ratioTargets[key]; ok {
				target = atMost(v, most)
			}
		case kind == "read":
			target = "allocations " + atMost(allocated, 100)
		}
		rows = append(rows, []string{names[i], fixed(took/1000, 1), fixed(allocated, 0), ratio, target})
	}
	title := "Request with a session, one value read"
	if kind == "save" {
		title = "Request with a session, one value changed and saved"
	}
	r.table(title, []string{"", "median µs", "allocations", "lifecycle / this", "target"}, rows)
}
