package listener

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The flags that are set stay, and those that are needed are added.
func TestMissingFlags(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]string{
		"":       "Exeg",
		"KA":     "E",
		"AE":     "",
		"gxeE":   "",
		"Ex":     "eg",
		"Kl":     "Exeg",
		"g$lshE": "xe",
	} {
		if got := missingFlags(flags); got != want {
			t.Errorf("missing from %q: %q, want %q", flags, got, want)
		}
	}
}

// server answers CONFIG in the place of a server.
type server struct {
	flags    string // of notify-keyspace-events
	get, set error  // replies to CONFIG GET and CONFIG SET
}

func (s *server) answer(cmd redis.Cmder) error {
	switch c := cmd.(type) {
	case *redis.MapStringStringCmd:
		c.SetVal(map[string]string{parameter: s.flags})
	case *redis.StatusCmd:
		if s.set == nil {
			s.flags = fmt.Sprint(cmd.Args()[3])
		}
		return s.set
	}
	return s.get
}

// A state is logged once, with what to do about it, and not again while it lasts: neither
// with a new connection nor with the next reading of the setting.
func TestStateIsLoggedOnce(t *testing.T) {
	t.Parallel()
	const (
		connect = "connect" // a new connection
		check   = "check"   // the setting is read again
		event   = "event"   // a notification comes
		cleared = "cleared" // somebody clears the setting
		allowed = "allowed" // from now on CONFIG is allowed
		getOnly = "getOnly" // from now on CONFIG GET is allowed, and CONFIG SET is not
	)
	no, away := redistest.ErrorReply("NOPERM no"), errors.New("connection refused")
	for name, c := range map[string]struct {
		server server
		steps  []string
		state  State
		warns  int
		infos  int
	}{
		"allowed":        {server{}, []string{connect, check, event, connect, check}, On, 0, 0},
		"set by others":  {server{flags: "AKE", set: no}, []string{connect, check, event, connect}, On, 0, 0},
		"CONFIG refused": {server{get: no, set: no}, []string{connect, check, connect, check, connect}, Refused, 1, 0},
		"events all the same": {
			server{get: no, set: no}, []string{connect, check, event, event, connect, check, connect}, On, 1, 1,
		},
		"only SET refused": {server{flags: "Ex", set: no}, []string{connect, check, event, connect, check, event, check}, Refused, 1, 0},
		"changed since":    {server{}, []string{connect, cleared, check, check}, Missing, 1, 0},
		"changed and back": {server{}, []string{connect, cleared, check, connect, check}, On, 1, 1},
		"changed twice":    {server{}, []string{connect, cleared, check, connect, cleared, check}, Missing, 2, 1},
		"away":             {server{get: away}, []string{connect, check, connect}, Off, 0, 0},
		"allowed later":    {server{get: no, set: no}, []string{connect, check, allowed, check, check}, On, 1, 1},
		"allowed once an event came": {
			server{flags: "Ex", get: no, set: no}, []string{connect, event, allowed, check}, On, 1, 1,
		},
		"allowed to be read":         {server{get: no, set: no}, []string{connect, getOnly, check, check, allowed, check}, Refused, 1, 0},
		"allowed, and changed since": {server{get: no, set: no}, []string{connect, allowed, check, cleared, check}, Missing, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log strings.Builder
			n := notifications{rdb: redistest.Answered(t, c.server.answer), log: slog.New(slog.NewTextHandler(&log, nil))}
			for _, step := range c.steps {
				switch step {
				case connect:
					n.enable(context.Background())
				case check:
					n.check(context.Background())
				case event:
					n.eventCame()
				case cleared:
					c.server.flags = ""
				case allowed:
					c.server.get, c.server.set = nil, nil
				case getOnly:
					c.server.get = nil
				}
			}
			warns, infos := strings.Count(log.String(), "level=WARN"), strings.Count(log.String(), "level=INFO")
			if n.current() != c.state || warns != c.warns || infos != c.infos {
				t.Errorf("state %d with %d warnings and %d notes in the log, want %d, %d and %d:\n%s", n.current(), warns, infos, c.state, c.warns, c.infos, &log)
			}
			if n := strings.Count(log.String(), "is noticed at once"); n != c.infos {
				t.Errorf("%d of %d notes say what is better now:\n%s", n, c.infos, &log)
			}
			if n := strings.Count(log.String(), "set notify-keyspace-events Exeg"); n != c.warns {
				t.Errorf("%d of %d warnings say what to do:\n%s", n, c.warns, &log)
			}
		})
	}
}

// A server that asks to try again later has not refused: nothing is logged, and the server
// is asked again.
func TestTryAgainLaterIsNoRefusal(t *testing.T) {
	t.Parallel()
	for _, later := range []redistest.ErrorReply{
		"BUSY Redis is busy running a script.",
		"LOADING Redis is loading the dataset in memory",
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
		"CLUSTERDOWN The cluster is down",
		"TRYAGAIN Multiple keys request during rehashing of slot",
		"ERR max number of clients reached",
		"WRONGPASS invalid username-password pair or user is disabled.",
		"NOAUTH Authentication required.",
	} {
		for name, s := range map[string]*server{"GET": {get: later}, "SET": {set: later}} {
			var log strings.Builder
			n := notifications{rdb: redistest.Answered(t, s.answer), log: slog.New(slog.NewTextHandler(&log, nil))}
			n.enable(context.Background())
			if n.current() != Off || !n.unanswered() {
				t.Errorf("CONFIG %s, %s: state %d, want %d and another try", name, later, n.current(), Off)
			}
			s.get, s.set = nil, nil
			n.enable(context.Background())
			if n.current() != On || n.unanswered() || missingFlags(s.flags) != "" || log.Len() > 0 {
				t.Errorf("CONFIG %s, %s, then allowed: state %d, flags %q, want %d and no more tries; the log:\n%s",
					name, later, n.current(), s.flags, On, &log)
			}
		}
	}
}
