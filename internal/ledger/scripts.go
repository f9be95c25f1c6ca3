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
	restoreScript   = script("restore")
	rotateScript    = script("rotate")
	endScript       = script("end")
	lookScript      = script("look")
	ackScript       = script("past", "ack")
	renewScript     = script("renew")
	releaseScript   = script("release")
	buryScript      = script("bury")
	retryScript     = script("retry")
	dropScript      = script("past", "drop")
	watchScript     = script("watch")
	postponeScript  = script("postpone")
	unwatchScript   = script("past", "unwatch")
	heartbeatScript = script("heartbeat")
)

// script returns the script of the file lua/<name>.lua, or that of several files in a row.
func script(names ...string) *redis.Script {
	var all []byte
	for _, name := range names {
		src, err := sources.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic(err) // the files are embedded: the name is misspelt
		}
		all = append(all, src...)
	}
	return redis.NewScript(string(all))
}

// call is one call of a script, among others that are sent together.
type call struct {
	bucket int
	script *redis.Script
	keys   []string
	args   []any
}

// runAll runs calls in one round trip, or one for each server of a cluster, all at the same
// time. Result i, or its error, belongs to calls[i]. The error of runAll joins all errors.
//
// In a cluster each server is called with its own client. The cluster's client is not used,
// because go-redis 9.22 has a bug: if the first call of a pipeline cannot be served yet, it
// sends the whole pipeline again, and at the same time those of its calls that were
// redirected. The same call then runs twice at once, and the replies are mixed up.
func (l *Ledger) runAll(ctx context.Context, calls []call) ([]*redis.Cmd, error) {
	cmds := make([]*redis.Cmd, len(calls))
	byServer := make(map[*knownServer][]int)
	for i, c := range calls {
		x := l.servers.get(c.bucket)
		byServer[x] = append(byServer[x], i)
	}
	var wg sync.WaitGroup
	for x, at := range byServer {
		wg.Go(func() { l.runOn(ctx, x, calls, at, cmds) })
	}
	wg.Wait()
	var errs []error
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			l.reloadAfter(err)
			errs = append(errs, err)
		}
	}
	return cmds, errors.Join(errs...)
}

// runOn runs calls[i] for each i of at, on server x, and puts the results into cmds.
//
// The calls name their script by its hash (EVALSHA). A server that is new, was restarted
// or flushed does not know the script. Then one of its calls is sent again with the source
// of the script (EVAL), and the others as before; go-redis does not do that in a pipeline.
// A call that the server redirects to another one is run there.
func (l *Ledger) runOn(ctx context.Context, x *knownServer, calls []call, at []int, cmds []*redis.Cmd) {
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
		execute(ctx, pipe)
		// This ends: each round finishes at least one call of each unknown script.
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

// isRedirection reports whether err says that another server of the cluster has the keys,
// for good (MOVED) or while they are being moved (ASK).
func isRedirection(err error) bool {
	if err == nil {
		return false
	}
	_, moved := redis.IsMovedError(err)
	_, ask := redis.IsAskError(err)
	return moved || ask
}

// runGroups runs one call for each group of items, in one round trip; build makes the call
// for a group. If a call fails because a key was overwritten, each item of its group gets a
// call of its own, in a second round trip, so that only one item fails. ran are the groups
// as they were run in the end, and results[i] is the result of ran[i].
func (l *Ledger) runGroups(ctx context.Context, groups [][]int, build func(group []int) call) (ran [][]int, results []*redis.Cmd) {
	run := func(groups [][]int) []*redis.Cmd {
		calls := make([]call, len(groups))
		for i, g := range groups {
			calls[i] = build(g)
		}
		cmds, _ := l.runAll(ctx, calls) // each command has its own error
		return cmds
	}
	var singles [][]int
	for i, cmd := range run(groups) {
		if g := groups[i]; len(g) > 1 && IsOverwritten(cmd.Err()) {
			for _, item := range g {
				singles = append(singles, []int{item})
			}
			continue
		}
		ran, results = append(ran, groups[i]), append(results, cmd)
	}
	if len(singles) > 0 {
		ran, results = append(ran, singles...), append(results, run(singles)...)
	}
	return ran, results
}

// IsOverwritten reports whether err says that something that is not lifecycle has
// overwritten a key. Only what the key belongs to has that trouble; other sessions do not.
func IsOverwritten(err error) bool { return reply.Overwritten(err) }
