package preflight

import (
	"context"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/backoff"
	"github.com/gin-lifecycle/lifecycle/internal/reply"
)

// Config is what Run needs.
type Config struct {
	Client  redis.UniversalClient
	Timeout time.Duration // longest duration of one check, with its one or two calls
	Log     *slog.Logger
}

// Run checks one server and logs each finding in one line. It returns when the server
// has answered. A refused command is an answer too, of which Run logs nothing. A refused
// login is none. Until the server answers Run asks again, as long as ctx does not end.
func Run(ctx context.Context, c Config) {
	retry := backoff.Backoff{Min: 100 * time.Millisecond, Max: 10 * time.Second}
	for {
		found, err := c.check(ctx)
		if err == nil {
			for _, f := range found {
				c.Log.Log(ctx, f.Level, "lifecycle: "+f.Message, f.Args...)
			}
			return
		}
		// The error is not logged: the heartbeat logs that Redis is away, or refuses the login.
		select {
		case <-ctx.Done():
			return
		case <-time.After(retry.Next()):
		}
	}
}

// check asks the server for its settings and judges them. An error means that the server
// has not answered.
func (c Config) check(ctx context.Context) ([]Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	// All sections in one call: only Redis 7 takes the names of several.
	info, err := c.Client.Info(ctx).Result()
	if err != nil {
		return nil, unlessRefused(err)
	}
	var config map[string]string
	if noAOF(parse(info)) { // save points matter only then
		config, err = c.Client.ConfigGet(ctx, "save").Result()
		if unlessRefused(err) != nil {
			return nil, err
		}
	}
	return Check(info, config), nil
}

// unlessRefused returns nil where the server has refused the command for good, and err
// otherwise.
func unlessRefused(err error) error {
	if reply.Refuses(err) {
		return nil
	}
	return err
}
