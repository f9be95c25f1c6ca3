package main

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// tally counts what a client sends.
type tally struct{ commands, roundTrips atomic.Int64 }

func (t *tally) add(commands int) {
	t.commands.Add(int64(commands))
	t.roundTrips.Add(1)
}

type tallyKey struct{}

// counting is a go-redis hook. It counts everything, and apart from that what is
// sent for a request whose context carries a tally: the background is not the
// request's.
type counting struct{ all tally }

func (h *counting) count(ctx context.Context, commands int) {
	h.all.add(commands)
	if t, ok := ctx.Value(tallyKey{}).(*tally); ok {
		t.add(commands)
	}
}

// DialHook counts nothing.
func (h *counting) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook counts one command in one round trip.
func (h *counting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.count(ctx, 1)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook counts several commands in one round trip.
func (h *counting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.count(ctx, len(cmds))
		return next(ctx, cmds)
	}
}
