package preflight

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// script stands for a server that answers with the replies of a list, in their order.
type script struct {
	replies []any    // each a string (to INFO), a map[string]string (to CONFIG) or an error
	asked   []string // the commands that were sent
}

func (s *script) answer(cmd redis.Cmder) error {
	s.asked = append(s.asked, cmd.Name())
	if len(s.replies) == 0 {
		return errors.New("the script has no more replies")
	}
	reply := s.replies[0]
	s.replies = s.replies[1:]
	switch r := reply.(type) {
	case string:
		cmd.(*redis.StringCmd).SetVal(r)
	case map[string]string:
		cmd.(*redis.MapStringStringCmd).SetVal(r)
	case error:
		return r
	}
	return nil
}

// Run asks until the server answers, and then logs each finding once.
func TestRun(t *testing.T) {
	t.Parallel()
	away := errors.New("dial tcp: connection refused")
	off, none := info("aof_enabled", "0"), map[string]string{"save": ""}
	for name, c := range map[string]struct {
		replies []any
		asked   string
		lines   int
	}{
		"an answer":                   {[]any{info()}, "info", 0},
		"no AOF":                      {[]any{off, none}, "info config", 1},
		"away, then back":             {[]any{away, away, off, none}, "info info info config", 1},
		"away between the two":        {[]any{off, away, off, none}, "info config info config", 1},
		"loading":                     {[]any{redistest.ErrorReply("LOADING Redis is loading the dataset in memory"), info("maxmemory_policy", "allkeys-lru")}, "info info", 1},
		"busy":                        {[]any{redistest.ErrorReply("BUSY Redis is busy running a script."), info()}, "info info", 0},
		"login refused, then right":   {[]any{redistest.ErrorReply("WRONGPASS invalid username-password pair or user is disabled."), off, redistest.ErrorReply("NOAUTH Authentication required."), off, none}, "info info config info config", 1},
		"INFO refused":                {[]any{redistest.ErrorReply("NOPERM this user has no permissions to run the 'info' command")}, "info", 0},
		"INFO unknown":                {[]any{redistest.ErrorReply("ERR unknown command 'info'")}, "info", 0},
		"CONFIG refused":              {[]any{off, redistest.ErrorReply("ERR unknown command 'CONFIG'")}, "info config", 0},
		"CONFIG refused, old and all": {[]any{info("aof_enabled", "0", "redis_version", "6.0.1"), redistest.ErrorReply("NOPERM no")}, "info config", 1},
		"CONFIG while too many":       {[]any{off, redistest.ErrorReply("ERR max number of clients reached"), off, none}, "info config info config", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log strings.Builder
			s := &script{replies: c.replies}
			Run(context.Background(), Config{
				Client:  redistest.Answered(t, s.answer),
				Timeout: time.Minute,
				Log:     slog.New(slog.NewTextHandler(&log, nil)),
			})
			if got := strings.Join(s.asked, " "); got != c.asked {
				t.Errorf("the commands sent are %q, want %q", got, c.asked)
			}
			if n := strings.Count(log.String(), "\n"); n != c.lines {
				t.Errorf("the log has %d lines, want %d:\n%s", n, c.lines, &log)
			}
		})
	}
}

// Where the server never answers, Run returns when its context ends.
func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	asked := make(chan struct{}, 100)
	client := redistest.Answered(t, func(redis.Cmder) error {
		asked <- struct{}{}
		return errors.New("away")
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		Run(ctx, Config{Client: client, Timeout: time.Minute, Log: slog.New(slog.DiscardHandler)})
	}()
	<-asked
	cancel()
	redistest.Receive(t, done)
}
