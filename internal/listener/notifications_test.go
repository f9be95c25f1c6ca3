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
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is set stays; what is needed is added.
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
		if got := missing(flags); got != want {
			t.Errorf("%q: %q, want %q", flags, got, want)
		}
	}
}

// server answers CONFIG in a server's place.
type server struct {
	flags    string
	get, set error
}

func (*server) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *server) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		err := s.get
		switch c := cmd.(type) {
		case *redis.MapStringStringCmd:
			c.SetVal(map[string]string{setting: s.flags})
		case *redis.StatusCmd:
			if err = s.set; err == nil {
				s.flags = fmt.Sprint(cmd.Args()[3])
			}
		}
		cmd.SetErr(err)
		return err
	}
}

func (*server) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) RedisError()     {}

// A state is told when it begins, with what to do, and not again while it lasts:
// not with a new connection, and not with the next reading of the setting.
func TestStateIsToldOnce(t *testing.T) {
	t.Parallel()
	const (
		connect = "connect" // a new connection
		check   = "check"   // the setting is read again
		event   = "event"   // one is heard
		cleared = "cleared" // somebody changes the setting
		allowed = "allowed" // CONFIG is
		getOnly = "getOnly" // CONFIG GET is, CONFIG SET is not
	)
	no, away := refusal("NOPERM no"), errors.New("connection refused")
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
			rdb := redis.NewClient(&redis.Options{MaxRetries: -1})
			defer func() { _ = rdb.Close() }()
			rdb.AddHook(&c.server)
			n := notifications{rdb: rdb, log: slog.New(slog.NewTextHandler(&log, nil))}
			for _, step := range c.steps {
				switch step {
				case connect:
					n.ensure(context.Background())
				case check:
					n.check(context.Background())
				case event:
					n.heard()
				case cleared:
					c.server.flags = ""
				case allowed:
					c.server.get, c.server.set = nil, nil
				case getOnly:
					c.server.get = nil
				}
			}
			warns, infos := strings.Count(log.String(), "level=WARN"), strings.Count(log.String(), "level=INFO")
			if n.get() != c.state || warns != c.warns || infos != c.infos {
				t.Errorf("state %d, %d warnings, %d notes; want %d, %d, %d: %s", n.get(), warns, infos, c.state, c.warns, c.infos, &log)
			}
			if told := strings.Count(log.String(), "set notify-keyspace-events Exeg"); told != c.warns {
				t.Errorf("%d of %d warnings say what to do: %s", told, c.warns, &log)
			}
		})
	}
}

// "Later" is no refusal: nothing is said of it, and the question is put again.
func TestLaterIsNoRefusal(t *testing.T) {
	t.Parallel()
	for _, later := range []refusal{
		"BUSY Redis is busy running a script.",
		"LOADING Redis is loading the dataset in memory",
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
		"CLUSTERDOWN The cluster is down",
		"TRYAGAIN Multiple keys request during rehashing of slot",
		"ERR max number of clients reached",
	} {
		for name, s := range map[string]*server{"GET": {get: later}, "SET": {set: later}} {
			var log strings.Builder
			rdb := redis.NewClient(&redis.Options{MaxRetries: -1})
			rdb.AddHook(s)
			n := notifications{rdb: rdb, log: slog.New(slog.NewTextHandler(&log, nil))}
			n.ensure(context.Background())
			if n.get() != Off || !n.unanswered() {
				t.Errorf("%s, %s: state %d", name, later, n.get())
			}
			s.get, s.set = nil, nil
			n.ensure(context.Background())
			if n.get() != On || n.unanswered() || missing(s.flags) != "" || log.Len() > 0 {
				t.Errorf("%s, %s: then state %d, flags %q, %s", name, later, n.get(), s.flags, &log)
			}
			_ = rdb.Close()
		}
	}
}
