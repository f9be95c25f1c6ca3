package preflight

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/reply"
)

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 10 * time.Second
)

// Config is what Run needs.
type Config struct {
	Client  redis.UniversalClient
	Timeout time.Duration // bound of every call
	Log     *slog.Logger
}

// Run logs the findings on a server, one line each. It returns when the server
// has answered, by a refusal too, of which it says nothing; until then it tries
// again, as long as ctx does not end.
func Run(ctx context.Context, c Config) {
	backoff := minBackoff
	for {
		found, err := c.ask(ctx)
		if err == nil {
			for _, f := range found {
				c.Log.Log(ctx, f.Level, "lifecycle: "+f.Message, f.Args...)
			}
			return
		}
		// Not worth a line: the heartbeat says that Redis is away.
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff/2 + rand.N(backoff)):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// ask asks the server and judges its answers. An error means that there was none.
func (c Config) ask(ctx context.Context) ([]Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	// One call for all sections: several by name take Redis 7.
	info, err := c.Client.Info(ctx).Result()
	if err != nil {
		return nil, unlessRefused(err)
	}
	var config map[string]string
	if noAOF(parse(info)) { // only then do save points matter
		config, err = c.Client.ConfigGet(ctx, "save").Result()
		if unlessRefused(err) != nil {
			return nil, err
		}
	}
	return Check(info, config), nil
}

// unlessRefused returns nil for a refusal, and err otherwise.
func unlessRefused(err error) error {
	if reply.Refuses(err) {
		return nil
	}
	return err
}
