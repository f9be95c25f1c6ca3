package suite_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// spy records the questions that a client asks Redis, and may change the reply to INFO.
type spy struct {
	replace *strings.Replacer // nil to change nothing

	mu       sync.Mutex
	answered []string
}

func (s *spy) after(r roundTrip) {
	for _, cmd := range r.commands {
		question := strings.Trim(fmt.Sprint(cmd.Args()), "[]")
		if info, ok := cmd.(*redis.StringCmd); ok && question == "info" && s.replace != nil {
			info.SetVal(s.replace.Replace(info.Val()))
		}
		s.mu.Lock()
		s.answered = append(s.answered, question)
		s.mu.Unlock()
	}
}

// checked starts an instance that connects as a user, waits until Redis has answered the
// last question of its start-up checks, and shuts the instance down. It returns the lines
// of its log with level WARN and above.
func checked(t *testing.T, server *redistest.Server, user, last string, replace *strings.Replacer, opts ...lifecycle.Option) []string {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, Username: user, Password: "secret", ContextTimeoutEnabled: true})
	if user == "" {
		rdb.Options().Password = ""
	}
	t.Cleanup(func() { _ = rdb.Close() })
	s := &spy{replace: replace}
	rdb.AddHook(onRoundTrip{after: s.after})
	a := newAppWithoutHooks(t, onClient(rdb), redistest.Prefix(), opts...)
	a.start()
	redistest.Eventually(t, "Redis has answered "+last, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Contains(s.answered, last)
	})
	redistest.Eventually(t, "the instance has subscribed to notifications, or has given up", func() bool {
		n := a.m.Stats().Notifications
		return n != lifecycle.NotificationsDisconnected && n != lifecycle.NotificationsStandby
	})
	id, v := a.begin()
	if got := a.ok(v, "/"); got != id {
		t.Errorf("session %q, want %s", got, id)
	}
	a.shutdown() // which waits for the checks
	return a.severe()
}

// At the start the log has one line if a setting of Redis breaks a guarantee. The line says
// what to do. There is no line if all settings are fine, or if Redis does not tell them.
func TestStartUpChecks(t *testing.T) {
	t.Parallel()
	const (
		info = "info"
		save = "config get save"
	)
	kept := []string{"--appendonly", "yes"}
	for name, c := range map[string]struct {
		args []string
		acl  []string // the rights of the user, nil for the default user
		last string   // the last question of the checks
		old  string   // the version that the server pretends to be
		opts []lifecycle.Option
		want []string // what the line contains; nil if there must be no line
	}{
		"all is well":          {args: kept, last: info},
		"save points":          {args: []string{"--save", "3600 1"}, last: save},
		"volatile keys only":   {args: append(kept, "--maxmemory-policy", "volatile-lru", "--maxmemory", "100mb"), last: info},
		"nothing on disk":      {last: save, want: []string{"WARN", "appendonly yes", "save points"}},
		"any key is evicted":   {args: append(kept, "--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb"), last: info, want: []string{"WARN", "set maxmemory-policy noeviction", "volatile-", "allkeys-lru"}},
		"once memory is bound": {args: append(kept, "--maxmemory-policy", "allkeys-lfu"), last: info, want: []string{"WARN", "set maxmemory-policy noeviction", "allkeys-lfu"}},
		"too old":              {args: kept, old: "6.0.16", last: info, want: []string{"ERROR", "6.0.16", "upgrade it to 6.2"}},
		"no CONFIG at all": {
			args: []string{"--rename-command", "CONFIG", ""}, last: save,
			want: []string{"WARN", logConfigRefused, "set notify-keyspace-events Exeg", "WithNotifications(false)"},
		},
		"no CONFIG, and none wanted": {
			args: []string{"--rename-command", "CONFIG", ""}, last: save,
			opts: []lifecycle.Option{lifecycle.WithNotifications(false)},
		},
		"CONFIG GET only": {
			args: kept, acl: []string{"+@all", "-config|set"}, last: info,
			want: []string{"WARN", logConfigRefused, "set notify-keyspace-events Exeg"},
		},
		"neither INFO nor CONFIG": {
			args: []string{"--maxmemory-policy", "allkeys-lru"}, acl: leastRights(t, "t*"), last: info,
			opts: []lifecycle.Option{lifecycle.WithNotifications(false)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t, c.args...)
			user := ""
			if c.acl != nil {
				user = "app"
				rights := append(slices.Clone(c.acl), "on", ">secret", "allkeys", "allchannels")
				if err := redistest.Client(t, server.Addr).ACLSetUser(redistest.Within(t), user, rights...).Err(); err != nil {
					t.Fatal(err)
				}
			}
			var replace *strings.Replacer
			if c.old != "" {
				replace = strings.NewReplacer("redis_version:", "redis_version:"+c.old+"\r\nreal_version:")
			}
			lines := checked(t, server, user, c.last, replace, c.opts...)
			if want := min(len(c.want), 1); len(lines) != want {
				t.Fatalf("%d lines, want %d:\n%s", len(lines), want, strings.Join(lines, ""))
			}
			for _, want := range c.want {
				if !strings.Contains(lines[0], want) {
					t.Errorf("the line does not contain %q: %s", want, lines[0])
				}
			}
		})
	}
}

// If Redis is away at the start, the checks are made when it is back.
func TestStartUpChecksWaitForRedis(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	var once sync.Once
	rdb.AddHook(onRoundTrip{before: func(r roundTrip) {
		if r.commands[0].Name() == "info" {
			once.Do(server.Kill)
		}
	}})
	a := newAppWithoutHooks(t, onClient(rdb), redistest.Prefix()).start()
	redistest.Eventually(t, "the log says that Redis is away", func() bool { return a.log.Contains(logRedisAway) })
	if a.log.Contains("appendonly yes") {
		t.Error("the checks were made without an answer of Redis")
	}
	server.Restart(t)
	redistest.Eventually(t, "the checks are made", func() bool { return a.log.Contains("appendonly yes") })
}

// An instance with another number of buckets than the others says so once in its log. Its
// requests fail.
func TestBucketMismatch(t *testing.T) {
	t.Parallel()
	expect := func(t *testing.T, a *app) {
		t.Helper()
		lines := a.severe()
		n := 0
		for _, line := range lines {
			if strings.Contains(line, "level=ERROR") && strings.Contains(line, logOtherBuckets) {
				n++
			}
			if strings.Contains(line, logRedisAway) {
				t.Errorf("the log says that Redis is away: %s", line)
			}
		}
		if n != 1 {
			t.Errorf("%d lines about the number of buckets, want one:\n%s", n, strings.Join(lines, ""))
		}
	}
	t.Run("from the start", func(t *testing.T) {
		t.Parallel()
		d, p := shared(t), redistest.Prefix()
		newApp(t, d, p).start()
		b := newApp(t, d, p, lifecycle.WithBuckets(9))
		for range 3 {
			err := b.m.Start(redistest.Within(t))
			if !errors.Is(err, lifecycle.ErrBucketMismatch) || !strings.Contains(err.Error(), logOtherBuckets+"8)") {
				t.Errorf("start: %v", err)
			}
			if w := b.visit(&visitor{"session=x"}, "/"); w.Code != http.StatusInternalServerError {
				t.Errorf("request: %d", w.Code)
			}
		}
		expect(t, b)
	})
	t.Run("with the first request", func(t *testing.T) {
		t.Parallel()
		d, p := shared(t), redistest.Prefix()
		_, v := newApp(t, d, p).begin()
		b := newApp(t, d, p, lifecycle.WithBuckets(9))
		for range 3 {
			if w := b.visit(&visitor{v.cookie}, "/"); w.Code != http.StatusInternalServerError {
				t.Errorf("request: %d", w.Code)
			}
		}
		expect(t, b)
	})
	t.Run("founded anew by another", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, shared(t), redistest.Prefix()).start()
		if err := a.admin.Set(redistest.Within(t), a.prefix+":buckets", "9 another", 0).Err(); err != nil {
			t.Fatal(err)
		}
		redistest.Eventually(t, "the log says that the numbers differ", func() bool { return a.log.Contains(logOtherBuckets + "9)") })
		if err := a.admin.Set(redistest.Within(t), a.prefix+":buckets", "8 again", 0).Err(); err != nil {
			t.Fatal(err)
		}
		redistest.Eventually(t, "the log says that the numbers are the same again", func() bool { return a.log.Contains(logWorksAgain) })
		expect(t, a)
	})
}
