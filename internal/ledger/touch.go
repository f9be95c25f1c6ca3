package ledger

import (
	"context"
	"errors"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Touching is a session to prolong, as the caller knows it.
type Touching struct {
	ID       string
	Proof    string
	Timeouts token.Timeouts
}

// Touched is the result of Touch for one session.
type Touched struct {
	// Live is true if the session is live and has this proof. It has then been prolonged.
	Live bool
	Err  error // Redis did not answer, or answered with an error
}

// Touch prolongs live sessions without their tokens. Result i is that of all[i]. The cost is
// one round trip for each server, at the same time, and one command for each session.
func (l *Ledger) Touch(ctx context.Context, all []Touching) []Touched {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	results := make([]Touched, len(all))
	byServer := make(map[*knownServer][]int)
	for i, x := range all {
		server := l.servers.get(l.keys.bucket(x.ID))
		byServer[server] = append(byServer[server], i)
	}
	var wg sync.WaitGroup
	for _, at := range byServer {
		wg.Go(func() {
			pipe := l.rdb.Pipeline()
			cmds := make([]*redis.StringCmd, len(at))
			for j, i := range at {
				x := all[i]
				b := l.keys.bucket(x.ID)
				unit, end := liveUntil(x.Timeouts, l.Clock(b).Unix())
				cmds[j] = redis.NewStringCmd(ctx, "getex", l.keys.live(b, x.ID, x.Proof), unit, end)
				_ = pipe.Process(ctx, cmds[j])
			}
			execute(ctx, pipe)
			for j, i := range at {
				err := cmds[j].Err()
				results[i].Live = err == nil
				if err != nil && !errors.Is(err, redis.Nil) && !IsOverwritten(err) {
					l.reloadAfter(err)
					results[i].Err = err
				}
			}
		})
	}
	wg.Wait()
	return results
}
