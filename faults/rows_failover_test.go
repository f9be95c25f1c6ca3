package faults

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Another server becomes the master under load: because the old master was killed, or
// because the sentinels were told to make it so, and then the old master lives on as a
// replica. The hooks go on by themselves, no replicated session is lost, and the instances
// set the new master up to send notifications.
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
	f := newFleetOn(t, s.Master)
	f.use(s.Client(t))
	f.setup.Sentinels = s.Addrs
	f.setup.RedisTimeout = shortRedisTimeout
	ps := f.together("a", "b")
	f.seedReplicated(seededLife, s.Master.Addr, 50)
	stop := f.load(f.living)
	f.awaitEnds(100)
	f.known.losing(time.Second, func() {
		change(s)
		// An old master that lives on accepts writes until all clients have left it. They are lost.
		old := redis.NewClient(&redis.Options{Addr: s.Master.Addr, MaxRetries: -1})
		defer func() { _ = old.Close() }()
		f.eventually("nobody uses the old master", func() bool {
			n, err := connections(old)
			return !s.Master.Running() || err == nil && n == 1 && info(context.Background(), old, "replication", "role") == "slave"
		})
		f.eventually("a visitor is served by the new master", func() bool { return f.serves(ps[0]) })
	})
	f.awaitMoreEnds(100)
	stop()
	f.eventually("the new master sends notifications", func() bool { return notifies(context.Background(), f.rdb, "x") })
	f.eventually("an instance hears them", func() bool { return hearsNotifications(ps) })
	v := f.finish()
	t.Logf("%d sessions, %d excused, %d repeats", v.sessions, v.excused, v.repeats)
}

// seedReplicated seeds n sessions on a master, with this time to live, and waits until all
// its replicas have them.
func (f *fleet) seedReplicated(life time.Duration, master string, n int, in ...int) {
	f.t.Helper()
	ctx := context.Background()
	rdb := redistest.Client(f.t, master)
	conn := rdb.Conn() // WAIT waits for the writes of its own connection
	f.seedSafe(life, conn, n, in...)
	replicas, _ := strconv.ParseInt(info(ctx, rdb, "replication", "connected_slaves"), 10, 64)
	if got, err := conn.Wait(ctx, int(replicas), patience/2).Result(); err != nil || got < replicas || got == 0 {
		f.t.Fatalf("%d of %d replicas have the sessions: %v", got, replicas, err)
	}
	if err := errors.Join(conn.Close(), rdb.Close()); err != nil {
		f.t.Fatal(err)
	}
}
