package ledger

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// execute executes a pipeline whose commands are looked at one by one: each has its own
// error.
//
// If the server refuses a new connection, because the password was changed for one,
// go-redis 9.22 returns that error and sets it on no command: each would look like an
// empty answer. execute sets it.
func execute(ctx context.Context, pipe redis.Pipeliner) {
	cmds, err := pipe.Exec(ctx)
	if err == nil {
		return
	}
	for _, cmd := range cmds {
		if cmd.Err() != nil {
			return // the error is that of a command
		}
	}
	for _, cmd := range cmds {
		cmd.SetErr(err)
	}
}
