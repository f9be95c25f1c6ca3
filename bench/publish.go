package main

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// costOfPublish measures what a message costs each server of a cluster. The server that gets it
// sends it to all others.
func (b *bench) costOfPublish(ctx context.Context, c *costs) (err error) {
	s, err := startServers(ctx, 3)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	n := b.sizes.costs
	b.progress("cost: %s messages in a cluster", count(n))
	message := "ended " + strings.Repeat("x", 22) // the message about an end that an instance gets
	target, others := *s, *s
	target.admins, others.admins = s.admins[:1], s.admins[1:]
	var idleTarget, idleOthers opCost
	during := func(f func() error) (a, o opCost, err error) {
		a, err = target.using(ctx, 1, idleTarget, func() (err error) {
			o, err = others.using(ctx, 1, idleOthers, f)
			return err
		})
		return a, o, err
	}
	clock, err := readClock(ctx, s.admins[0])
	if err != nil {
		return err
	}
	idle := b.sizes.idle
	a, o, err := during(func() error { return clock.wait(ctx, clock.now()+idle.Milliseconds()) })
	if err != nil {
		return err
	}
	idleTarget, idleOthers = a.times(1/idle.Seconds()), o.times(1/idle.Seconds())
	const batch = 20 // messages in one round trip
	a, o, err = during(func() error {
		err := parallelN(ctx, 4, n/batch, func(_, _ int) error {
			_, err := s.admins[0].Pipelined(ctx, func(pipe redis.Pipeliner) error {
				for range batch {
					pipe.Publish(ctx, "life:instance:xxxxxxxxxxxxxxxxxxxxxx", message)
				}
				return nil
			})
			return err
		})
		// Wait until the others have got the last message.
		return errors.Join(err, clock.wait(ctx, clock.now()+1000))
	})
	c.publishTold, c.publishOther = a.cpu/float64(n), o.cpu/float64(n)/float64(len(others.admins))
	return err
}
