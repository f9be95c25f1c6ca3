package main

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// tally counts the commands and round trips of a client.
type tally struct{ commands, roundTrips atomic.Int64 }

func (t *tally) add(commands int) {
	t.commands.Add(int64(commands))
	t.roundTrips.Add(1)
}

// tallyKey is the key of a tally in a context.
type tallyKey struct{}

// counting is a go-redis hook. all counts everything that the client sends. If a request has a
// tally in its context, that counts what is sent for this request, without the background work.
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
