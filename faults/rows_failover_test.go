package faults

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Another server becomes master under load, as the old one has died, or by order, and
// then the old one lives on as a replica: the hooks go on by themselves, what had been
// replicated is handled, and the new master is told to send notifications.
func TestRow13Failover(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, s *redistest.Sentinels){
		"killed": func(_ *testing.T, s *redistest.Sentinels) { s.Master.Kill() },
		"by order": func(t *testing.T, s *redistest.Sentinels) {
			sentinel := redis.NewSentinelClient(&redis.Options{Addr: s.Addrs[0]})
			defer func() { _ = sentinel.Close() }()
			if err := sentinel.Failover(context.Background(), redistest.SentinelMaster).Err(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failover(t, func(s *redistest.Sentinels) { change(t, s) })
		})
	}
}

func failover(t *testing.T, change func(s *redistest.Sentinels)) {
	s := redistest.StartSentinel(t, 2, 3)
	f := newFleet(t, s.Master)
	_ = f.rdb.Close()
	f.rdb = s.Client(t)
	f.setup.Sentinels = s.Addrs
	f.setup.RedisTimeout = time.Second // less than the idle timeout: no call is repeated that long after it
	ps := f.together("a", "b")
	f.seedReplicated(25*time.Second, s.Master.Addr, 50)
	stop := f.load(f.living)
	f.eventually("ends are handled", func() bool { return f.runs(done, "") >= 100 })
	f.known.losing(time.Second, func() {
		change(s)
		// One that lives on takes writes, which nobody will see, until all have left it.
		old := redis.NewClient(&redis.Options{Addr: s.Master.Addr, MaxRetries: -1})
		defer func() { _ = old.Close() }()
		f.eventually("nobody uses the old master", func() bool {
			n, err := connections(old)
			return !s.Master.Running() || err == nil && n == 1 && info(context.Background(), old, "replication", "role") == "slave"
		})
		f.eventually("a visitor is served by the new master", func() bool {
			status, _ := (&visitor{f: f}).visit(ps[0], "/")
			return status == http.StatusOK
		})
	})
	handled := f.runs(done, "")
	f.eventually("hooks go on", func() bool { return f.runs(done, "") >= handled+100 })
	stop()
	f.eventually("the new master sends notifications", func() bool {
		flags, err := f.rdb.ConfigGet(context.Background(), "notify-keyspace-events").Result()
		return err == nil && strings.Contains(flags["notify-keyspace-events"], "x")
	})
	f.eventually("an instance hears them", func() bool { return f.hears(ps...) })
	v := f.finish()
	t.Logf("%d sessions, %d excused, %d repeats", v.sessions, v.excused, v.repeats)
}

// hears reports whether one of the instances gets notifications.
func (f *fleet) hears(ps ...*process) bool {
	for _, p := range ps {
		if s, err := p.tryStats(); err == nil && s.Notifications == lifecycle.NotificationsOn {
			return true
		}
	}
	return false
}

// seedReplicated begins n sessions on a master, past the instances, that all its
// replicas have, and that live that long.
func (f *fleet) seedReplicated(life time.Duration, master string, n int, in ...int) {
	f.t.Helper()
	ctx := context.Background()
	rdb := redistest.Client(f.t, master)
	conn := rdb.Conn() // WAIT is about the writes of its connection
	f.seedSafeFor(life, conn, n, in...)
	replicas, _ := strconv.ParseInt(info(ctx, rdb, "replication", "connected_slaves"), 10, 64)
	if got, err := conn.Wait(ctx, int(replicas), patience/2).Result(); err != nil || got < replicas || got == 0 {
		f.t.Fatalf("%d of %d replicas have the sessions: %v", got, replicas, err)
	}
	if err := errors.Join(conn.Close(), rdb.Close()); err != nil {
		f.t.Fatal(err)
	}
}
