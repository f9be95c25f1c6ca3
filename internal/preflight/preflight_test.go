package preflight

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestJudge(t *testing.T) {
	none, some := "", "3600 1 300 100"
	good := server{version: "7.0.15", policy: "noeviction", aof: "1", savePoints: &none}
	for name, c := range map[string]struct {
		change func(*server)
		want   string // in the only finding; "" for none
	}{
		"good":                        {func(*server) {}, ""},
		"a volatile policy":           {func(s *server) { s.policy = "volatile-lru" }, ""},
		"allkeys-lru":                 {func(s *server) { s.policy = "allkeys-lru" }, "set maxmemory-policy to noeviction"},
		"allkeys-random":              {func(s *server) { s.policy = "allkeys-random" }, "set maxmemory-policy to noeviction"},
		"nothing on disk":             {func(s *server) { s.aof = "0" }, "set appendonly to yes"},
		"save points":                 {func(s *server) { s.aof, s.savePoints = "0", &some }, ""},
		"save points not told":        {func(s *server) { s.aof, s.savePoints = "0", nil }, ""},
		"6.2":                         {func(s *server) { s.version = "6.2.0" }, ""},
		"6.0":                         {func(s *server) { s.version = "6.0.20" }, "upgrade it to 6.2"},
		"5.0":                         {func(s *server) { s.version = "5.0.14" }, "upgrade it to 6.2"},
		"10.0":                        {func(s *server) { s.version = "10.0.1" }, ""},
		"a version that is no number": {func(s *server) { s.version = "unstable" }, ""},
		"nothing told":                {func(s *server) { *s = server{} }, ""},
	} {
		s := good
		c.change(&s)
		found := s.judge()
		switch {
		case c.want == "" && len(found) != 0:
			t.Errorf("%s: %v", name, found)
		case c.want != "" && (len(found) != 1 || !strings.Contains(found[0].text, c.want)):
			t.Errorf("%s: %v, want one with %q", name, found, c.want)
		}
	}
}

// run runs the checks on a server and returns the log.
func run(t *testing.T, opts *redis.Options) string {
	t.Helper()
	rdb := redis.NewClient(opts)
	defer func() { _ = rdb.Close() }()
	var log bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	Run(ctx, rdb, slog.New(slog.NewTextHandler(&log, nil)))
	if ctx.Err() != nil {
		t.Fatal("the server was not asked in time")
	}
	return log.String()
}

func TestRealServers(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"good":            {[]string{"--appendonly", "yes"}, ""},
		"save points":     {[]string{"--save", "3600 1"}, ""},
		"nothing on disk": {nil, "set appendonly to yes"},
		"allkeys-lfu":     {[]string{"--appendonly", "yes", "--maxmemory-policy", "allkeys-lfu"}, "maxmemory-policy=allkeys-lfu"},
	} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Start(t, c.args...)
			log := run(t, &redis.Options{Addr: s.Addr})
			if c.want == "" && log != "" || c.want != "" && (strings.Count(log, "\n") != 1 || !strings.Contains(log, c.want)) {
				t.Errorf("log %q, want %q", log, c.want)
			}
		})
	}
}

// A user that may ask neither gets no advice and no complaint.
func TestRefused(t *testing.T) {
	s := redistest.Start(t, "--user", "app", "on", "nopass", "~*", "&*", "+@all", "-info", "-config")
	if log := run(t, &redis.Options{Addr: s.Addr, Username: "app", Password: "any"}); log != "" {
		t.Errorf("log %q", log)
	}
	s = redistest.Start(t, "--user", "app", "on", "nopass", "~*", "&*", "+@all", "-config")
	if log := run(t, &redis.Options{Addr: s.Addr, Username: "app", Password: "any"}); log != "" {
		t.Errorf("without CONFIG: log %q", log)
	}
}

// A server that is away is asked again; the end of ctx ends that.
func TestAway(t *testing.T) {
	s := redistest.Start(t, "--appendonly", "yes", "--maxmemory-policy", "allkeys-lru")
	s.Kill()
	dialled := make(chan struct{}, 100)
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, OnConnect: func(context.Context, *redis.Conn) error {
		dialled <- struct{}{}
		return nil
	}})
	defer func() { _ = rdb.Close() }()

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Run(ctx, rdb, slog.New(slog.DiscardHandler))
	}()
	cancel()
	<-ended

	var log bytes.Buffer
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		Run(context.Background(), rdb, slog.New(slog.NewTextHandler(&log, nil)))
	}()
	s.Restart(t)
	<-dialled
	<-ended
	if !strings.Contains(log.String(), "allkeys-lru") {
		t.Errorf("log %q", log.String())
	}
}
