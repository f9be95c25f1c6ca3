package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The log says once why heartbeats fail and once that they succeed again. A refused login and
// an overwritten key are said even if Redis was away before: somebody must put them right.
func TestHeartbeatIsLoggedOnce(t *testing.T) {
	t.Parallel()
	const (
		unreachable = "cannot reach Redis at localhost:6379"
		login       = "Redis at localhost:6379 refuses the user name or the password of the client; destroyed hooks will run when Redis accepts them again; check Username and Password"
		refused     = "Redis at localhost:6379 refuses the heartbeat"
		overwritten = "another program has overwritten a key of the whole fleet"
		works       = "the heartbeat works again"
	)
	var (
		away      = errors.New("dial tcp: connection refused")
		wrong     = fmt.Errorf("failed to authenticate: %w", redistest.ErrorReply("WRONGPASS invalid username-password pair or user is disabled."))
		none      = redistest.ErrorReply("NOAUTH Authentication required.")
		wrongType = redistest.ErrorReply("WRONGTYPE Operation against a key holding the wrong kind of value")
		perm      = redistest.ErrorReply("NOPERM User app has no permissions to run the 'zadd' command")
	)
	for name, c := range map[string]struct {
		beats []error
		want  []string
	}{
		"well":                   {[]error{nil, nil}, nil},
		"away":                   {[]error{nil, away, away, nil, nil, away}, []string{unreachable, works, unreachable}},
		"a command refused":      {[]error{perm, perm, nil}, []string{refused, works}},
		"login refused":          {[]error{nil, wrong, none, wrong, nil, none}, []string{login, works, login}},
		"away, then refused":     {[]error{away, away, wrong, away, wrong, nil}, []string{unreachable, login, works}},
		"refused, then away":     {[]error{wrong, away, nil, away}, []string{login, works, unreachable}},
		"login, then a command":  {[]error{wrong, perm, nil}, []string{login, works}},
		"overwritten":            {[]error{wrongType, wrongType, nil, wrongType}, []string{overwritten, works, overwritten}},
		"away, then overwritten": {[]error{away, wrongType, away, wrongType, nil}, []string{unreachable, overwritten, works}},
		"loading, then no login": {[]error{redistest.ErrorReply("LOADING Redis is loading"), none, nil}, []string{refused, login, works}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log redistest.Log
			rdb := redis.NewClient(&redis.Options{Addr: "localhost:6379"}) // never used
			defer func() { _ = rdb.Close() }()
			e := &Engine{c: Config{
				Ledger: ledger.New(rdb, ledger.Config{Prefix: "p", Buckets: 1}),
				Log:    slog.New(slog.NewTextHandler(&log, nil)),
			}}
			e.makeParts()
			e.deliverers.alive.Store(1)
			for _, err := range c.beats {
				e.heartbeat(err)
			}
			var got []string
			for line := range strings.Lines(log.String()) {
				for _, text := range []string{unreachable, login, refused, overwritten, works} {
					if strings.Contains(line, text) {
						got = append(got, text)
					}
				}
			}
			if n := strings.Count(log.String(), "\n"); n != len(c.want) || !slices.Equal(got, c.want) {
				t.Errorf("the lines are %q, want %q:\n%s", got, c.want, &log)
			}
		})
	}
}
