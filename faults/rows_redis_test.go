package faults

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
)

// shortRedisTimeout is shorter than the idle timeout of these tests: so no instance
// repeats a call so late that the session's time is over.
const shortRedisTimeout = time.Second

// unsynced is how old a write may be that is lost when Redis is killed, where it syncs its
// append-only file each second. While a sync runs, Redis keeps writes back for up to two
// seconds.
const unsynced = 3 * time.Second

// Redis is killed under load and comes back with its append-only file. Nothing is lost if
// Redis synced each write. If it synced each second, what it had not yet passed to the
// operating system may be lost.
func TestRow05RedisKilledUnderLoad(t *testing.T) {
	t.Parallel()
	for _, fsync := range []string{"always", "everysec"} {
		t.Run(fsync, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "--appendonly", "yes", "--appendfsync", fsync)
			f.setup.RedisTimeout = shortRedisTimeout
			ps := f.together("a", "b")
			f.seedSafe(seededLife, f.rdb, 50)
			onDisk := time.Now().Add(unsynced)
			stop := f.load(f.living)
			f.awaitTime("the first sessions are on disk", onDisk)
			for i := range 3 {
				f.awaitEnds(50 * (i + 1))
				crash := func() {
					f.redis.Kill()
					f.awaitLogged(logHeartbeatFails, i+1, ps...)
					f.redis.Restart(t)
					f.awaitLogged(logHeartbeatWorks, i+1, ps...)
					f.awaitLogged(logSubscribedAgain, i+1, ps...)
				}
				if fsync == "always" {
					crash()
				} else {
					f.known.losing(unsynced, crash)
				}
			}
			stop()
			v := f.finish()
			if v.ends < 150 {
				t.Errorf("%d ends", v.ends)
			}
			t.Logf("%d sessions, %d excused", v.sessions, v.excused)
			// One instance has two subscriptions.
			f.loggedExactly(logSubscriptionLost, 3, ps...)
			f.loggedExactly(logSubscribedAgain, 3, ps...)
		})
	}
}

// awaitLogged waits until each of these instances has logged text at least n times.
func (f *fleet) awaitLogged(text string, n int, ps ...*process) {
	f.t.Helper()
	f.eventually("all have logged "+text, func() bool {
		for _, p := range ps {
			if p.countLogged(text) < n {
				return false
			}
		}
		return true
	})
}

// loggedExactly fails the test unless each of these instances has logged text n times.
func (f *fleet) loggedExactly(text string, n int, ps ...*process) {
	f.t.Helper()
	for _, p := range ps {
		if got := p.countLogged(text); got != n {
			f.t.Errorf("%s has logged %q %d times, want %d", p.name, text, got, n)
		}
	}
}

// The sessions' timeouts pass while Redis is down. Redis then loads a snapshot that still
// has their keys, drops those whose time is over, and sends no event. The instances find
// every end in the due-index.
func TestRow06TimesPassWhileRedisIsDown(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Idle = 10 * time.Second
	f.setup.Look = time.Minute // so long that the regular looks find nothing
	ps := f.together("a", "b")
	crowd := f.crowd(100, ps...)
	if err := f.rdb.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	f.redis.Kill()
	f.awaitTime("all timeouts have passed", f.known.seen(crowd[99].id).Add(f.setup.Idle))
	f.redis.Restart(t)
	f.awaitEnds(100)
	f.awaitLogged(logHeartbeatWorks, 1, ps...) // one may have handled all ends before the other is back
	f.finish()
	f.allReasons(lifecycle.ReasonIdleTimeout)
}

// The subscribers' connections are cut again and again: every end is handled.
func TestRow07SubscribersCut(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	ps := f.together("a", "b")
	stop := f.load(f.living)
	f.often(f.cutSubscribers)
	if failed := stop(); failed > 0 {
		t.Errorf("%d visits failed", failed)
	}
	f.eventually("all ends are handled", f.settled)

	// No bucket has a due entry any more. So only a message makes an instance look at the
	// sessions that begin now, and hardly any message arrives.
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

// often calls do thirty times, ten times a second.
func (f *fleet) often(do func()) {
	f.t.Helper()
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for range 30 {
		<-pace.C
		do()
	}
}

// The server stands still for five seconds: no end comes early, and all come afterwards.
func TestRow08ServerPause(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.RedisTimeout = shortRedisTimeout
	ps := f.together("a", "b")
	f.crowd(100, ps...)
	if err := f.rdb.Do(t.Context(), "client", "pause", "5000", "all").Err(); err != nil {
		t.Fatal(err)
	}
	f.unavailable(ps[0])
	f.finish()
}

// Notifications are switched off while the application runs. All ends are handled. The
// statistics say that notifications are missing, and the log says it once.
func TestRow09NotificationsSwitchedOff(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	// With a short heartbeat, a leader that stalls could be taken for dead. The next leader
	// would switch the notifications on again.
	f.setup.Heartbeat = 5 * time.Second
	ps := f.together("a", "b")
	f.configure("notify-keyspace-events", "")
	f.crowd(100, ps...)
	f.eventually("the statistics say that notifications are missing", func() bool {
		return ps[0].stats().Notifications == lifecycle.NotificationsMissing ||
			ps[1].stats().Notifications == lifecycle.NotificationsMissing
	})
	f.finish()
	if n := ps[0].countLogged(logNotificationsOff) + ps[1].countLogged(logNotificationsOff); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}

// Redis does not expire keys by itself: all the same, the instances find each end when it
// is due.
func TestRow10NoActiveExpiry(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.noActiveExpiry()
	f.setup.Look = time.Minute // longer than finish waits: the regular looks find nothing
	ps := f.together("a", "b")
	f.crowd(200, ps...)
	f.finish()
}

// Redis forgets its scripts again and again: no visit and no look fails.
func TestRow11ScriptsForgotten(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	ps := f.together("a", "b")
	stop := f.load(f.living)
	f.often(func() {
		if err := f.rdb.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	})
	if failed := stop(); failed > 0 {
		t.Errorf("%d visits failed", failed)
	}
	f.finish()
	for _, p := range ps {
		if p.logged(logAnyError) {
			p.printLog()
			t.Error("an instance logged an error")
		}
	}
}

// Everything in Redis is deleted. Closures in living instances run once, with the
// reason lost, and the application goes on.
func TestRow12FlushAll(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Idle = time.Minute
	ps := f.together("a", "b")
	crowd := f.crowd(100, ps...)
	f.flush()
	f.eventually("the closures have run", func() bool {
		return ps[0].stats().Closures+ps[1].stats().Closures == 0
	})
	var wg sync.WaitGroup
	for i, v := range crowd[:10] { // their old cookies name no session any more
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
	closures := f.eventsOf(closure)
	for _, e := range closures {
		if e.reason != string(lifecycle.ReasonLost) {
			t.Errorf("session %s: reason %s", e.id, e.reason)
		}
	}
	if len(closures) != 25 {
		t.Errorf("%d closures ran, want 25", len(closures))
	}
}
