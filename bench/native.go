package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// lagOfEvents measures the lag of Redis's own `expired` events. Plain keys expire with the same
// deadlines as the sessions, while the same number of sessions is live.
func (b *bench) lagOfEvents(ctx context.Context, p *population) (l lags, err error) {
	if err := b.servers.admins[0].ConfigSet(ctx, "notify-keyspace-events", "Ex").Err(); err != nil {
		return lags{}, err
	}
	defer func() {
		err = errors.Join(err, b.servers.admins[0].ConfigSet(context.WithoutCancel(ctx), "notify-keyspace-events", "").Err())
	}()
	sub := b.servers.client().Subscribe(ctx, "__keyevent@0__:expired")
	defer func() { _ = sub.Close() }()
	if _, err := sub.Receive(ctx); err != nil { // Redis has confirmed the subscription
		return lags{}, err
	}

	clock, err := readClock(ctx, b.servers.admins[0])
	if err != nil {
		return lags{}, err
	}
	keys := make([]string, b.sizes.expiring)
	index := make(map[string]int, len(keys))
	first := clock.now() + lead.Milliseconds()
	err = func() error {
		for i := range keys {
			keys[i] = "native:" + strconv.Itoa(i)
			index[keys[i]] = i
		}
		return parallel(ctx, len(keys), func(i int) error {
			at := deadlineOf(i, len(keys), first, b.sizes.window)
			return p.rdb.SetArgs(ctx, keys[i], 1, redis.SetArgs{ExpireAt: time.UnixMilli(at)}).Err()
		})
	}()
	if err != nil {
		return lags{}, err
	}
	defer func() { err = errors.Join(err, p.rdb.Del(context.WithoutCancel(ctx), keys...).Err()) }()
	ends, err := deadlines(ctx, p.rdb, keys)
	if err != nil {
		return lags{}, err
	}

	last := first + b.sizes.window.Milliseconds()
	at, err := receive(ctx, sub, index, time.Duration(last-clock.now())*time.Millisecond+b.sizes.nativeWait)
	if err != nil {
		return lags{}, err
	}
	stopped := clock.ms(time.Now())
	l.ms = make([]float64, len(keys))
	for i, end := range ends {
		if at[i].IsZero() {
			l.missing++
			l.ms[i] = stopped - end
		} else {
			l.ms[i] = clock.ms(at[i]) - end
		}
	}
	return l, nil
}

// receive notes when the event of each key comes, until all have come or the time is over. It
// does not use the client's Channel, which drops messages.
func receive(ctx context.Context, sub *redis.PubSub, index map[string]int, timeout time.Duration) ([]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })()
	at := make([]time.Time, len(index))
	for left := len(index); left > 0; {
		m, err := sub.Receive(ctx)
		// The connection has the same deadline as the context, and may notice it first.
		if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
			return at, nil
		}
		if err != nil {
			return nil, err
		}
		if m, ok := m.(*redis.Message); ok {
			if i, ok := index[m.Payload]; ok && at[i].IsZero() {
				at[i] = time.Now()
				left--
			}
		}
	}
	return at, nil
}
