package redistest

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Answered returns a client that has no server. The client calls answer with each single
// command. answer sets the reply of the command, or returns an error, which the client
// returns for this command. The client closes when the test ends.
func Answered(t testing.TB, answer func(cmd redis.Cmder) error) *redis.Client {
	c := redis.NewClient(&redis.Options{MaxRetries: -1})
	t.Cleanup(func() { _ = c.Close() })
	c.AddHook(answered(answer))
	return c
}

// answered is a hook of go-redis that answers commands in the place of a server.
type answered func(cmd redis.Cmder) error

func (answered) DialHook(next redis.DialHook) redis.DialHook { return next }

func (a answered) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		err := a(cmd)
		cmd.SetErr(err)
		return err
	}
}

func (answered) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ErrorReply is an error that a Redis server has replied with. Other errors of a client mean
// that no reply has come.
type ErrorReply string

func (r ErrorReply) Error() string { return string(r) }

// RedisError marks the error as a reply, as go-redis does with the errors that it reads.
func (ErrorReply) RedisError() {}
