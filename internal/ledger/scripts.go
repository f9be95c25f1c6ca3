package ledger

import (
	"context"
	"embed"
	"errors"

	"github.com/redis/go-redis/v9"
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
	watchScript     = script("watch")
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
	script *redis.Script
	keys   []string
	args   []any
}

// runAll runs calls in one round trip; reply i, or its error, belongs to call
// i. A server that does not know a script (new, restarted, flushed) is sent the
// source, which EVALSHA in a pipeline does not do by itself.
func (l *Ledger) runAll(ctx context.Context, calls []call) ([]*redis.Cmd, error) {
	pipe := l.rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		cmds[i] = c.script.EvalSha(ctx, pipe, c.keys, c.args...)
	}
	_, _ = pipe.Exec(ctx) // its error is the first of those below
	var errs []error
	for i, c := range calls {
		if redis.HasErrorPrefix(cmds[i].Err(), "NOSCRIPT") {
			cmds[i] = c.script.Eval(ctx, l.rdb, c.keys, c.args...)
		}
		if err := cmds[i].Err(); err != nil {
			errs = append(errs, err)
		}
	}
	return cmds, errors.Join(errs...)
}

// toInt reads a number from a script's reply, which gives those that it had
// from Redis as text.
func toInt(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case string:
		var n int64
		neg := false
		for i, c := range []byte(v) {
			switch {
			case c >= '0' && c <= '9':
				n = n*10 + int64(c-'0')
			case c == '-' && i == 0:
				neg = true
			default:
				return n
			}
		}
		if neg {
			return -n
		}
		return n
	}
	return 0
}

func toString(v any) string {
	s, _ := v.(string)
	return s
}
