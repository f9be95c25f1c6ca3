package ledger

import (
	"context"
	"embed"
	"errors"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/reply"
)

//go:embed lua/*.lua
var sources embed.FS

var (
	createScript    = script("create")
	saveScript      = script("save")
	rotateScript    = script("rotate")
	endScript       = script("end")
	lookScript      = script("look")
	ackScript       = script("ack")
	renewScript     = script("renew")
	releaseScript   = script("release")
	buryScript      = script("bury")
	retryScript     = script("retry")
	dropScript      = script("drop")
	watchScript     = script("watch")
	postponeScript  = script("postpone")
	unwatchScript   = script("unwatch")
	heartbeatScript = script("heartbeat")
)

func script(name string) *redis.Script {
	src, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // the file is embedded: only a misspelt name gets here
	}
	return redis.NewScript(string(src))
}

// call is one script call of a batch.
type call struct {
	bucket int
	script *redis.Script
	keys   []string
	args   []any
}

// runAll runs calls in one round trip, to each server that has some; reply i, or its
// error, belongs to call i.
//
// In a cluster the servers are asked by clients of their own. The cluster's client
// would send a whole pipeline again where the first call cannot be served yet, and at
// the same time those of its calls that were redirected: go-redis 9.22 then runs the
// same call twice at once, and mixes up the replies.
func (l *Ledger) runAll(ctx context.Context, calls []call) ([]*redis.Cmd, error) {
	cmds := make([]*redis.Cmd, len(calls))
	servers := make(map[*server][]int)
	for i, c := range calls {
		x := l.shards.get(c.bucket)
		servers[x] = append(servers[x], i)
	}
	var wg sync.WaitGroup
	for x, at := range servers {
		wg.Go(func() { l.runOn(ctx, x, calls, at, cmds) })
	}
	wg.Wait()
	var errs []error
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			l.noticed(err)
			errs = append(errs, err)
		}
	}
	return cmds, errors.Join(errs...)
}

// runOn runs those of calls that at names, whose buckets one server has. A server
// that does not know a script (new, restarted, flushed) is sent the source along with
// one of its calls, which EVALSHA in a pipeline does not do by itself, and the others
// again. What it says another server has is asked for there.
func (l *Ledger) runOn(ctx context.Context, x *server, calls []call, at []int, cmds []*redis.Cmd) {
	todo := slices.Clone(at)
	unknown := make(map[*redis.Script]bool)
	for len(todo) > 0 {
		pipe := x.client.Pipeline()
		for _, i := range todo {
			c := calls[i]
			if unknown[c.script] {
				delete(unknown, c.script)
				cmds[i] = c.script.Eval(ctx, pipe, c.keys, c.args...)
			} else {
				cmds[i] = c.script.EvalSha(ctx, pipe, c.keys, c.args...)
			}
		}
		_, _ = pipe.Exec(ctx) // its error is the first of those in cmds
		// Each turn finishes at least one call of each unknown script.
		again := todo[:0]
		for _, i := range todo {
			if redis.HasErrorPrefix(cmds[i].Err(), "NOSCRIPT") {
				unknown[calls[i].script] = true
				again = append(again, i)
			}
		}
		todo = again
	}
	for _, i := range at {
		if isRedirection(cmds[i].Err()) {
			cmds[i] = calls[i].script.Run(ctx, l.rdb, calls[i].keys, calls[i].args...)
		}
	}
}

// isRedirection reports whether err says that another server has the keys, for good
// or for the time of their move.
func isRedirection(err error) bool {
	if err == nil {
		return false
	}
	_, moved := redis.IsMovedError(err)
	_, ask := redis.IsAskError(err)
	return moved || ask
}

// runGroups runs a call for each group of items, in one round trip. Where a key of
// a group turns out to have been overwritten, each of its items gets a call of its own,
// so that the others do not fail with it. Result i is that of ran[i].
func (l *Ledger) runGroups(ctx context.Context, groups [][]int, build func(group []int) call) (ran [][]int, results []*redis.Cmd) {
	run := func(groups [][]int) []*redis.Cmd {
		calls := make([]call, len(groups))
		for i, g := range groups {
			calls[i] = build(g)
		}
		cmds, _ := l.runAll(ctx, calls) // each has its own error
		return cmds
	}
	var apart [][]int
	for i, cmd := range run(groups) {
		if g := groups[i]; len(g) > 1 && IsOverwritten(cmd.Err()) {
			for _, item := range g {
				apart = append(apart, []int{item})
			}
			continue
		}
		ran, results = append(ran, groups[i]), append(results, cmd)
	}
	if len(apart) > 0 {
		ran, results = append(ran, apart...), append(results, run(apart)...)
	}
	return ran, results
}

// IsOverwritten reports whether err says that somebody else has overwritten a key: it
// is the trouble of what the key belongs to, and of nothing else.
func IsOverwritten(err error) bool { return reply.Overwritten(err) }
