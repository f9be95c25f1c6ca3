package suite_test

import (
	"context"
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

// spy sees the commands of a client, and may change replies to INFO.
type spy struct {
	replace *strings.Replacer

	mu       sync.Mutex
	answered []string
}

func (*spy) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *spy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		question := strings.Trim(fmt.Sprint(cmd.Args()), "[]")
		if info, ok := cmd.(*redis.StringCmd); ok && question == "info" && s.replace != nil {
			info.SetVal(s.replace.Replace(info.Val()))
		}
		s.mu.Lock()
		s.answered = append(s.answered, question)
		s.mu.Unlock()
		return err
	}
}

func (*spy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// checked starts an instance as a user of the server, waits until the last
// question of its start-up checks is answered, and shuts it down. It returns the
// lines of its log at Warn and above.
func checked(t *testing.T, server *redistest.Server, user, last string, replace *strings.Replacer, opts ...lifecycle.Option) []string {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, Username: user, Password: "secret", ContextTimeoutEnabled: true})
	if user == "" {
		rdb.Options().Password = ""
	}
	t.Cleanup(func() { _ = rdb.Close() })
	s := &spy{replace: replace}
	rdb.AddHook(s)
	a := newAppWithoutHooks(t, onClient(rdb), prefix(), opts...)
	a.start()
	eventually(t, "the answer to "+last, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Contains(s.answered, last)
	})
	eventually(t, "the notifications are looked after", func() bool {
		n := a.m.Stats().Notifications
		return n != lifecycle.NotificationsDisconnected && n != lifecycle.NotificationsStandby
	})
	id, v := a.begin()
	if got := a.ok(v, "/"); got != id {
		t.Errorf("the session is %q", got)
	}
	a.shutdown() // waits for the checks
	return a.log.severe()
}

// severe returns the lines at Warn and above.
func (b *syncBuffer) severe() []string {
	var severe []string
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			severe = append(severe, line)
		}
	}
	return severe
}

// How Redis is set up is told in one line for what promises cannot hold with,
// with what to do, and not at all where all is well or Redis does not tell.
func TestStartUpChecks(t *testing.T) {
	t.Parallel()
	const (
		info = "info"
		save = "config get save"
	)
	kept := []string{"--appendonly", "yes"}
	for name, c := range map[string]struct {
		args []string
		acl  []string // of a user, whose rights these are
		last string   // question of the checks
		old  string   // version that the server says it is
		opts []lifecycle.Option
		want []string // in the one line, none if there is to be none
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
			want: []string{"WARN", "refuses CONFIG", "set notify-keyspace-events Exeg", "WithNotifications(false)"},
		},
		"no CONFIG, and none wanted": {
			args: []string{"--rename-command", "CONFIG", ""}, last: save,
			opts: []lifecycle.Option{lifecycle.WithNotifications(false)},
		},
		"CONFIG GET only": {
			args: kept, acl: []string{"+@all", "-config|set"}, last: info,
			want: []string{"WARN", "refuses CONFIG", "set notify-keyspace-events Exeg"},
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
				if err := redistest.Client(t, server.Addr).ACLSetUser(within(t), user, rights...).Err(); err != nil {
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
					t.Errorf("the line lacks %q: %s", want, lines[0])
				}
			}
		})
	}
}

// The checks are made when Redis answers, not only at the first try.
func TestStartUpChecksWaitForRedis(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	var once sync.Once
	rdb.AddHook(before(func(name string) {
		if name == "info" {
			once.Do(server.Kill)
		}
	}))
	a := newAppWithoutHooks(t, onClient(rdb), prefix()).start()
	eventually(t, "Redis is away", func() bool { return contains(a.log, "Redis is away") })
	if contains(a.log, "appendonly yes") {
		t.Error("checked without an answer")
	}
	server.Restart(t)
	eventually(t, "the checks are made", func() bool { return contains(a.log, "appendonly yes") })
}

// before is called before every command of a client, with its name.
type before func(name string)

func (before) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b before) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		b(cmd.Name())
		return next(ctx, cmd)
	}
}

func (before) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// An instance with another number of buckets says so once, whoever notices.
func TestBucketMismatch(t *testing.T) {
	t.Parallel()
	expect := func(t *testing.T, a *app) {
		t.Helper()
		lines := a.log.severe()
		n := 0
		for _, line := range lines {
			if strings.Contains(line, "level=ERROR") && strings.Contains(line, "use WithBuckets(") {
				n++
			}
			if strings.Contains(line, "Redis is away") {
				t.Errorf("it is not away: %s", line)
			}
		}
		if n != 1 {
			t.Errorf("%d lines, want one:\n%s", n, strings.Join(lines, ""))
		}
	}
	t.Run("from the start", func(t *testing.T) {
		t.Parallel()
		d, p := shared(t), prefix()
		newApp(t, d, p).start()
		b := newApp(t, d, p, lifecycle.WithBuckets(9))
		for range 3 {
			err := b.m.Start(within(t))
			if !errors.Is(err, lifecycle.ErrBucketMismatch) || !strings.Contains(err.Error(), "use WithBuckets(8)") {
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
		d, p := shared(t), prefix()
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
		a := newApp(t, shared(t), prefix()).start()
		if err := a.admin.Set(within(t), a.prefix+":buckets", "9 another", 0).Err(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is noticed", func() bool { return contains(a.log, "use WithBuckets(9)") })
		if err := a.admin.Set(within(t), a.prefix+":buckets", "8 again", 0).Err(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is over", func() bool { return contains(a.log, "works again") })
		expect(t, a)
	})
}
