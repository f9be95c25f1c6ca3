package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/membership"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// fleetCost is what a fleet makes Redis do.
type fleetCost struct {
	instances int

	// In an idle second of the whole fleet:
	beats, pings float64
	idle         calls // the rest

	// For one end, without what the idle fleet does in the same time:
	expired, destroyed calls
	held               calls // destroyed by one instance, with a closure on another

	joins, leaves float64 // share of the buckets that move
}

// measureFleet counts the commands of fleets of several sizes. What an idle fleet does and what
// an end costs must not grow with the number of instances. Heartbeats and PINGs do grow and are
// counted separately.
func (b *bench) measureFleet(ctx context.Context) error {
	beat, err := b.costOfBeat(ctx)
	if err != nil {
		return err
	}
	var fleets []fleetCost
	for _, n := range b.sizes.instances {
		c, err := b.costOfFleet(ctx, n, beat)
		if err != nil {
			return fmt.Errorf("%d instances: %w", n, err)
		}
		fleets = append(fleets, c)
	}
	b.reportFleet(beat, fleets)
	return b.servers.flush(ctx)
}

// costOfBeat counts the commands of one heartbeat, including those of its script.
func (b *bench) costOfBeat(ctx context.Context) (calls, error) {
	const beats = 100
	if err := b.servers.flush(ctx); err != nil {
		return nil, err
	}
	l := ledger.New(b.servers.client(), ledger.Config{Prefix: "beat", Buckets: lifecycle.DefaultBuckets, Timeout: settleTime})
	beat := func() error {
		_, err := l.Foundation(ctx)
		if err == nil {
			_, err = l.Heartbeat(ctx, ledger.Member{Instance: "one"}, time.Minute)
		}
		return err
	}
	if err := beat(); err != nil { // it writes the keys of the prefix and loads the script
		return nil, err
	}
	if err := b.servers.resetCalls(ctx); err != nil {
		return nil, err
	}
	for range beats {
		if err := beat(); err != nil {
			return nil, err
		}
	}
	c, err := b.servers.calls(ctx)
	return c.scaled(1.0 / beats), err
}

// costOfFleet measures a fleet of n instances.
func (b *bench) costOfFleet(ctx context.Context, n int, beat calls) (c fleetCost, err error) {
	b.progress("fleet: %d instances", n)
	c.instances = n
	c.joins = movedShare(n, n+1)
	c.leaves = math.NaN() // there is no fleet without instances
	if n > 1 {
		c.leaves = movedShare(n, n-1)
	}
	f, err := b.startFleet(ctx, n, beat)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, f.stop(ctx)) }()

	idle, err := f.count(ctx, func() error { return f.clock.wait(ctx, f.clock.now()+b.sizes.fleetIdle.Milliseconds()) })
	if err != nil {
		return c, err
	}
	c.beats, c.pings = idle.beats/idle.seconds*beat.total(), idle.pings/idle.seconds
	c.idle = idle.calls.scaled(1 / idle.seconds)

	b.progress("fleet: %d sessions time out", b.sizes.fleetEnds)
	if c.expired, err = f.expire(ctx, c.idle); err != nil {
		return c, fmt.Errorf("sessions that time out: %w", err)
	}
	b.progress("fleet: %d sessions are destroyed", b.sizes.fleetEnds)
	if c.destroyed, err = f.destroy(ctx, c.idle, f.begin); err != nil {
		return c, fmt.Errorf("sessions that are destroyed: %w", err)
	}
	b.progress("fleet: %d sessions are destroyed, with a closure each", b.sizes.fleetEnds)
	if c.held, err = f.destroy(ctx, c.idle, f.visit); err != nil {
		return c, fmt.Errorf("sessions with a closure: %w", err)
	}
	return c, nil
}

// perEnd counts commands while end runs, and returns what one end costs. end lets n sessions
// end and waits until nothing is left of them.
func (f *fleet) perEnd(ctx context.Context, n int, idle calls, end func() error) (calls, error) {
	c, err := f.count(ctx, end)
	return c.calls.minus(idle.scaled(c.seconds)).scaled(1 / float64(n)), err
}

// expire returns what the end of a session costs that times out.
func (f *fleet) expire(ctx context.Context, idle calls) (calls, error) {
	n, window := f.b.sizes.fleetEnds, f.b.sizes.window
	keys, err := f.b.servers.keyCount(ctx)
	if err != nil {
		return nil, err
	}
	tokens := make([]token.Token, n)
	first := f.clock.now() + lead.Milliseconds()
	err = parallelN(ctx, seeders, n, func(_, i int) error {
		tokens[i] = token.New(token.Mark{}, token.Timeouts{Idle: time.Duration(deadlineOf(i, n, first, window)-f.clock.now()) * time.Millisecond})
		return f.p.create(ctx, tokens[i])
	})
	if err != nil {
		return nil, err
	}
	if err := f.clock.wait(ctx, first-100); err != nil {
		return nil, err
	}
	return f.perEnd(ctx, n, idle, func() error {
		if err := f.clock.wait(ctx, first+window.Milliseconds()); err != nil {
			return err
		}
		return f.b.noMoreKeys(ctx, keys)
	})
}

// destroy begins sessions and destroys them evenly over the window, each on another instance
// than the one before. It returns what one end costs.
func (f *fleet) destroy(ctx context.Context, idle calls, begin func(ctx context.Context) (id string, err error)) (calls, error) {
	n, window := f.b.sizes.fleetEnds, f.b.sizes.window
	keys, err := f.b.servers.keyCount(ctx)
	if err != nil {
		return nil, err
	}
	ids := make([]string, n)
	if err := parallel(ctx, n, func(i int) (err error) {
		ids[i], err = begin(ctx)
		return err
	}); err != nil {
		return nil, err
	}
	return f.perEnd(ctx, n, idle, func() error {
		first := f.clock.now()
		if err := parallel(ctx, n, func(i int) error {
			if err := f.clock.wait(ctx, deadlineOf(i, n, first, window)); err != nil {
				return err
			}
			return f.other(i).Destroy(ctx, ids[i], "")
		}); err != nil {
			return err
		}
		return f.b.noMoreKeys(ctx, keys)
	})
}

// movedShare returns the share of the buckets that another instance looks after once the fleet
// has another size, on average over many fleets.
func movedShare(from, to int) float64 {
	const fleets = 50
	moved := 0
	for f := range fleets {
		names := make([]string, max(from, to))
		for i := range names {
			names[i] = fmt.Sprintf("fleet-%d-instance-%d", f, i)
		}
		for bucket := range lifecycle.DefaultBuckets {
			if membership.Keeper(names[:from], bucket) != membership.Keeper(names[:to], bucket) {
				moved++
			}
		}
	}
	return float64(moved) / (fleets * lifecycle.DefaultBuckets)
}
