package faults

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Redis is killed under load and comes back with its append-only file: nothing is
// lost if each write was synced. If each second's were, what it had not yet handed
// to the operating system may be.
func TestRow05RedisKilledUnderLoad(t *testing.T) {
	t.Parallel()
	for _, fsync := range []string{"always", "everysec"} {
		t.Run(fsync, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, redistest.Start(t, "--appendonly", "yes", "--appendfsync", fsync))
			f.setup.RedisTimeout = time.Second // less than the idle timeout: no call is repeated that long after it
			ps := f.together("a", "b")
			old := f.seedSafe(f.rdb, 50)
			stop := f.load(f.living)
			f.eventually("the first sessions are on disk", func() bool { return time.Since(old) >= unwritten })
			for i := range 3 {
				f.eventually("ends are handled", func() bool { return f.runs(done, "") >= 50*(i+1) })
				crash := func() {
					both := func(line string) func() bool {
						return func() bool { return ps[0].countLogged(line) > i && ps[1].countLogged(line) > i }
					}
					f.redis.Kill()
					f.eventually("the instances notice", both("the heartbeat fails"))
					f.redis.Restart(t)
					f.eventually("they go on", both("the heartbeat works again"))
				}
				if fsync == "always" {
					crash()
				} else {
					f.known.losing(unwritten, crash)
				}
			}
			stop()
			v := f.finish()
			if v.ends < 150 {
				t.Errorf("%d ends", v.ends)
			}
			t.Logf("%d sessions, %d excused", v.sessions, v.excused)
		})
	}
}

// unwritten is how old a write may be that a killed Redis, which syncs its file each
// second, has not handed to the operating system: it puts that off for up to two
// seconds while a sync is under way.
const unwritten = 3 * time.Second

// seedSafe begins n sessions in Redis, past the instances, that are long over when
// the test ends and that it must not lose, and returns when.
func (f *fleet) seedSafe(rdb interface{ Pipeline() redis.Pipeliner }, n int, in ...int) time.Time {
	f.t.Helper()
	return f.seedSafeFor(25*time.Second, rdb, n, in...)
}

// seedSafeFor does so with another time to live.
func (f *fleet) seedSafeFor(life time.Duration, rdb interface{ Pipeline() redis.Pipeliner }, n int, in ...int) time.Time {
	f.t.Helper()
	f.loadScripts()
	ids, err := f.burst(rdb, n, time.Now().Add(life), in...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.known.keptSafe(ids)
	return time.Now()
}

// Redis is down while sessions' times pass, and loads a snapshot that still has
// them: overdue keys are dropped while loading and no event ever comes. Every end
// comes from the due-index.
func TestRow06TimesPassWhileRedisIsDown(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	f.setup.Idle = 10 * time.Second
	f.setup.Look = time.Minute // what is found is not found by looking now and then
	ps := f.together("a", "b")
	crowd := f.crowd(100, ps...)
	if err := f.rdb.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	f.redis.Kill()
	over := f.known.seen(crowd[99].id).Add(f.setup.Idle)
	f.eventually("all their times are over", func() bool { return time.Now().After(over) })
	f.redis.Restart(t)
	f.eventually("all ends are handled", func() bool { return f.runs(done, "") >= 100 })
	f.finish()
	for _, e := range f.events() {
		if e.kind == started && e.reason != string(lifecycle.ReasonIdleTimeout) {
			t.Errorf("session %s ended with reason %s", e.id, e.reason)
		}
	}
}

// Subscribers' connections are cut, again and again: every end is handled.
func TestRow07SubscribersCut(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	ps := f.together("a", "b")
	stop := f.load(f.living)
	cut := time.NewTicker(100 * time.Millisecond)
	defer cut.Stop()
	for range 30 {
		<-cut.C
		if err := f.rdb.Do(t.Context(), "client", "kill", "type", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
	}
	if failed := stop(); failed > 0 {
		t.Errorf("%d visits failed", failed)
	}
	f.eventually("all ends are handled", f.settled)

	// Now that no bucket has anything due, what begins is told by message only, and
	// hardly any gets through.
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_ = f.rdb.Do(ctx, "client", "kill", "type", "pubsub").Err()
		}
	}()
	for _, v := range f.crowd(64, ps...) {
		v.hold(ps[1])
	}
	cancel()
	<-ended
	f.finish()
}

// The server stands still for five seconds: nothing comes early, everything after.
func TestRow08ServerPause(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	f.setup.RedisTimeout = time.Second
	ps := f.together("a", "b")
	f.crowd(100, ps...)
	if err := f.rdb.Do(t.Context(), "client", "pause", "5000", "all").Err(); err != nil {
		t.Fatal(err)
	}
	status, body := (&visitor{f: f}).visit(ps[0], "/")
	if status != http.StatusServiceUnavailable {
		t.Errorf("a visit during the pause: %d %s", status, body)
	}
	f.finish()
}

// Notifications are switched off while the application runs: all ends are
// handled, and the log and the statistics say so, once.
func TestRow09NotificationsSwitchedOff(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	// A leader that stalls must not be taken for gone: the next one would set them again.
	f.setup.Heartbeat = 5 * time.Second
	ps := f.together("a", "b")
	f.configure("notify-keyspace-events", "")
	f.crowd(100, ps...)
	f.eventually("the statistics tell", func() bool {
		return ps[0].stats().Notifications == lifecycle.NotificationsMissing ||
			ps[1].stats().Notifications == lifecycle.NotificationsMissing
	})
	f.finish()
	if n := ps[0].countLogged("keyspace notifications are off") + ps[1].countLogged("keyspace notifications are off"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}

// Redis expires nothing by itself: ends are found all the same, when they are due.
func TestRow10NoActiveExpiry(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	if err := f.rdb.Do(t.Context(), "debug", "set-active-expire", "0").Err(); err != nil {
		t.Fatal(err)
	}
	f.setup.Look = time.Minute // more than finish waits: looking now and then finds nothing
	ps := f.together("a", "b")
	f.crowd(200, ps...)
	f.finish()
}

// Scripts are forgotten all the time: no visit and no look fails.
func TestRow11ScriptsForgotten(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	ps := f.together("a", "b")
	stop := f.load(f.living)
	flush := time.NewTicker(100 * time.Millisecond)
	defer flush.Stop()
	for range 30 {
		<-flush.C
		if err := f.rdb.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if failed := stop(); failed > 0 {
		t.Errorf("%d visits failed", failed)
	}
	f.finish()
	for _, p := range ps {
		if p.logged("fails") {
			p.printLog()
			t.Error("an instance logged a failure")
		}
	}
}

// Everything in Redis is deleted: hooks of handlers in living instances run once,
// as lost, and the application goes on.
func TestRow12FlushAll(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	f.setup.Idle = time.Minute
	ps := f.together("a", "b")
	crowd := f.crowd(100, ps...)
	f.flush()
	f.eventually("the hooks of handlers have run", func() bool {
		return ps[0].stats().Closures+ps[1].stats().Closures == 0
	})
	var wg sync.WaitGroup
	for i, v := range crowd[:10] { // whose old cookies are worth nothing
		wg.Go(func() {
			if old := v.id; v.ok(ps[i%2], "/") == old {
				t.Errorf("session %s is back", old)
			}
			v.ok(ps[i%2], "/destroy")
		})
	}
	wg.Wait()
	v := f.finish()
	if v.excused != 100 || v.ends != 10 {
		t.Errorf("%d sessions flushed, %d ended; want 100 and 10", v.excused, v.ends)
	}
	closures := 0
	for _, e := range f.events() {
		if e.kind == closure {
			closures++
			if e.reason != string(lifecycle.ReasonLost) {
				t.Errorf("session %s: reason %s", e.id, e.reason)
			}
		}
	}
	if closures != 25 {
		t.Errorf("%d hooks of handlers ran, want 25", closures)
	}
}
