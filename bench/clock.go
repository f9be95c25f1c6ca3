package main

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// serverClock converts local times, by their monotonic reading, to times of the Redis server. It
// is exact enough for one measurement. Over a longer time the two clocks drift apart.
type serverClock struct {
	local  time.Time
	server time.Time
}

// readClock compares the clocks in the shortest of many round trips.
func readClock(ctx context.Context, rdb *redis.Client) (serverClock, error) {
	var c serverClock
	best := time.Hour
	for range 100 {
		sent := time.Now()
		at, err := rdb.Time(ctx).Result()
		if err != nil {
			return c, err
		}
		if rtt := time.Since(sent); rtt < best {
			best = rtt
			c = serverClock{local: sent.Add(rtt / 2), server: at}
		}
	}
	return c, nil
}

// ms returns the server's time at a local time, in Unix milliseconds.
func (c serverClock) ms(t time.Time) float64 {
	return float64(c.server.Add(t.Sub(c.local)).UnixMicro()) / 1000
}

// now returns the server's time, in Unix milliseconds.
func (c serverClock) now() int64 { return int64(c.ms(time.Now())) }

// wait waits until the server's time is ms.
func (c serverClock) wait(ctx context.Context, ms int64) error {
	t := time.NewTimer(time.Duration(ms-c.now()) * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
