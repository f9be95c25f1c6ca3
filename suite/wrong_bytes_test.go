package suite_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Other programs write wrong bytes to the keys of a session. Only this session is in
// trouble: the others of its bucket end as usual. If somebody must do something, the log
// says so in one line.
func TestWrongBytesTroubleTheirOwnSession(t *testing.T) {
	t.Parallel()
	end := func(fields ...any) func(*app, string) {
		return func(a *app, id string) {
			a.admin.HSet(redistest.Within(a.t), a.prefix+":{0}:end:"+id, append([]any{"reason", "r"}, fields...)...)
		}
	}
	overwritten := func(kind string) func(*app, string) {
		return func(a *app, id string) { a.overwrite(a.prefix + ":{0}:" + kind + ":" + id) }
	}
	for name, c := range map[string]wrongBytes{
		"an attempt that is no number": {write: end("attempt", "x"), reason: "r"},
		"no attempt":                   {write: end(), reason: "r"},
		"an attempt below zero":        {write: end("attempt", "-5"), reason: "r"},
		"an attempt far off":           {write: end("attempt", "1e300"), reason: "r"},
		"no times":                     {write: end("attempt", 1, "at", "x", "left", "y"), reason: "r"},
		"hooks done that there are not": {write: func(a *app, id string) {
			end("attempt", 1, "done", instance(a.m)+":7,x,-1,99999999999999999999,")(a, id)
		}, reason: "r"},
		"an end that is none": {
			write: overwritten("end"), reason: lifecycle.ReasonIdleTimeout,
			mend: func(a *app, id string) { a.del(a.prefix + ":{0}:end:" + id) },
			said: []string{logCannotHandle, "delete the key that has the wrong type", "WRONGTYPE"},
		},
		"watchers that are none": {write: overwritten("watch"), reason: lifecycle.ReasonIdleTimeout},
		"watchers of others": {write: func(a *app, id string) {
			a.admin.SAdd(redistest.Within(a.t), a.prefix+":{0}:watch:"+id, "", "nobody", "a b\r\n*", strings.Repeat("x", 10_000))
		}, reason: lifecycle.ReasonIdleTimeout},
		"a record that is none": {write: overwritten("session"), reason: lifecycle.ReasonLost},
		"due before everything": {at: "-inf", reason: lifecycle.ReasonIdleTimeout, said: []string{logImpossibleTime}},
		"due at the beginning":  {at: "0", reason: lifecycle.ReasonIdleTimeout, said: []string{logImpossibleTime}},
		"due at a fraction":     {at: "1.5", reason: lifecycle.ReasonIdleTimeout},
		"due far off":           {at: "1e300", reason: lifecycle.ReasonIdleTimeout, said: []string{logImpossibleTime}},
		"due never":             {at: "inf", reason: lifecycle.ReasonIdleTimeout, said: []string{logImpossibleTime}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

// wrongBytes is what others write, and what must come of it.
type wrongBytes struct {
	write  func(a *app, id string) // writes to the keys of the session; may be nil
	at     string                  // the time in the due-index, after the live key is gone
	reason lifecycle.Reason        // with which the session ends
	mend   func(a *app, id string) // without it the session does not end; may be nil
	said   []string                // what one line of the log contains; nil if there must be no line
}

func (c wrongBytes) run(t *testing.T) {
	t.Helper()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithBuckets(1), lifecycle.WithNotifications(false),
		lifecycle.WithLookInterval(10*time.Millisecond), lifecycle.WithLease(time.Second))
	bad, _ := a.begin()
	if c.write != nil {
		c.write(a, bad)
	}
	a.del(a.liveKey(bad))
	a.dueAt(cmp.Or(c.at, "1"), bad)
	a.start()
	ended := make(map[string]lifecycle.Reason)
	a.othersEnd(ended)
	a.othersEnd(ended)
	if c.mend != nil {
		if ended[bad] != "" {
			t.Errorf("the session has ended with the reason %q, want no end yet", ended[bad])
		}
		c.mend(a, bad)
	}
	a.untilEnded(ended, bad)
	if ended[bad] != c.reason {
		t.Errorf("the session has ended with the reason %q, want %q", ended[bad], c.reason)
	}
	a.othersEnd(ended)
	want := min(len(c.said), 1)
	if about := a.warned("session=" + bad); about != want || a.warned(append(c.said, "session="+bad)...) != want {
		t.Errorf("%d lines about the session, want %d:\n%s", about, want, strings.Join(a.severe(), ""))
	}
	redistest.Eventually(t, "all ends are finished", func() bool { return len(a.keys("due")) == 0 })
}

// othersEnd lets other sessions begin, ends them, and waits for their hooks.
func (a *app) othersEnd(ended map[string]lifecycle.Reason) {
	a.t.Helper()
	var ids []string
	for range 5 {
		id, _ := a.begin()
		ids = append(ids, id)
		a.del(a.liveKey(id))
	}
	a.dueAt("2", ids...)
	a.untilEnded(ended, ids...)
}

// untilEnded waits until destroyed hooks have run for these sessions. It puts all ends into
// ended.
func (a *app) untilEnded(ended map[string]lifecycle.Reason, ids ...string) {
	a.t.Helper()
	for slices.ContainsFunc(ids, func(id string) bool { return ended[id] == "" }) {
		s := a.nextDestroyed()
		if _, twice := ended[s.ID]; twice {
			a.t.Errorf("session %s ended twice", s.ID)
		}
		ended[s.ID] = s.Reason
	}
}

// Other programs write a wrong number of attempts. A hook that fails is tried again as
// usual.
func TestAttemptsThatOthersHaveWritten(t *testing.T) {
	t.Parallel()
	for _, attempt := range []string{"-5", "x", "nan", "-inf", "99999999999999999999"} {
		t.Run(attempt, func(t *testing.T) {
			t.Parallel()
			a := newAppWithoutHooks(t, shared(t), redistest.Prefix(), lifecycle.WithBuckets(1), lifecycle.WithRetry(2, time.Millisecond, time.Millisecond))
			attempts := make(chan int, 10)
			a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
				attempts <- s.Attempt
				return errors.New("it fails")
			})
			id, _ := a.begin()
			a.admin.HSet(redistest.Within(t), a.prefix+":{0}:end:"+id, "reason", "r", "attempt", attempt)
			a.del(a.liveKey(id))
			a.dueAt("1", id)
			a.start()
			for want := 1; want <= 2; want++ {
				if got := redistest.Receive(t, attempts); got != want {
					t.Errorf("attempt %d, want %d", got, want)
				}
			}
			redistest.Eventually(t, "the end is dead", func() bool { return a.m.Stats().Buried == 1 })
			for d, err := range a.m.Dead(redistest.Within(t)) {
				if err != nil || d.Session.ID != id || d.Attempts != 2 {
					t.Errorf("dead: %+v, %v", d, err)
				}
			}
		})
	}
}

// Another program overwrites a dead set. An end that should be put there is not tried again
// with every lease. After somebody has deleted the key, the end is put there. The dead
// ends of other buckets are listed as usual.
func TestOverwrittenDeadSet(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix(), lifecycle.WithBuckets(2), lifecycle.WithLease(100*time.Millisecond),
		lifecycle.WithLookInterval(10*time.Millisecond), lifecycle.WithRetry(1, time.Hour, time.Hour))
	tried := make(chan string, 10_000)
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		tried <- s.ID
		return errors.New("it fails")
	})
	a.overwrite(a.prefix + ":{0}:dead")
	var there, here string
	for there == "" || here == "" {
		id, _ := a.begin()
		if a.bucket(id) == "0" {
			there = id
		} else {
			here = id
		}
	}
	a.start()
	for _, id := range []string{there, here} {
		a.end(id, "")
		for redistest.Receive(t, tried) != id {
			t.Errorf("the hook ran for another session than %s", id)
		}
	}
	redistest.Eventually(t, "one end is dead, the other one is to be retried", func() bool { s := a.m.Stats(); return s.Buried == 1 && s.HooksRetried == 1 })
	began := time.Now()
	redistest.Eventually(t, "the time of several leases is over", func() bool { return time.Since(began) > 400*time.Millisecond })
	if len(tried) != 0 {
		t.Errorf("the hook ran again for %s", <-tried)
	}
	var dead []string
	for d, err := range a.m.Dead(redistest.Within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		dead = append(dead, d.Session.ID)
	}
	if !slices.Equal(dead, []string{here}) {
		t.Errorf("dead: %v, want only %s", dead, here)
	}
	if n := a.warned(logDeadOverwritten, "bucket=0"); n != 1 {
		t.Errorf("%d lines about it, want one:\n%s", n, strings.Join(a.severe(), ""))
	}
	a.del(a.prefix + ":{0}:dead")
	a.dueAt("1", there)
	redistest.Eventually(t, "both ends are dead", func() bool { return a.m.Stats().Buried == 2 })
}

// Another program overwrites a due-index and a record. The other sessions can be listed and
// counted, and their closures run at the shutdown.
func TestOverwrittenKeysInQueries(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithBuckets(2))
	held := make(chan string, 100)
	a.get("/hold", func(c *lifecycle.Context) {
		a.answer(c, register(c, func(_ context.Context, s *lifecycle.Session) error {
			held <- fmt.Sprint(s.ID, " ", s.Get("user"))
			return nil
		}))
	})
	a.start()
	var here, there []string
	for len(here) < 3 || len(there) < 1 {
		id, v := a.begin()
		a.ok(v, "/hold")
		a.ok(v, "/set?user=alice") // the instance does not keep this value, and reads it at the shutdown
		if a.bucket(id) == "0" {
			there = append(there, id)
		} else {
			here = append(here, id)
		}
	}
	a.overwrite(a.prefix + ":{0}:due")
	a.overwrite(a.prefix + ":{1}:session:" + here[0])
	if n, err := a.m.Count(redistest.Within(t)); n != len(here) || err != nil {
		t.Errorf("count: %d, %v; want %d", n, err, len(here))
	}
	var found []string
	for s, err := range a.m.All(redistest.Within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, s.ID)
	}
	slices.Sort(found)
	if want := slices.Sorted(slices.Values(here[1:])); !slices.Equal(found, want) {
		t.Errorf("all: %v, want %v", found, want)
	}

	a.shutdown()
	told := make(map[string]bool)
	for range len(here) + len(there) {
		told[redistest.Receive(t, held)] = true
	}
	for _, id := range slices.Concat(here[1:], there) {
		if !told[id+" alice"] {
			t.Errorf("the closure of %s did not get the values in Redis: %v", id, told)
		}
	}
	if left := a.keys("watch:*"); len(left) != 0 {
		t.Errorf("Redis still lists the instance as one that has closures: %v", left)
	}
}

// Another program overwrites the list of instances. The log says so. Instances that knew
// their share of the sessions continue. After somebody has deleted the key, everything
// works again.
func TestOverwrittenInstances(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithBuckets(1))
	a.start()
	redistest.Eventually(t, "the instance counts itself", func() bool { return a.m.Stats().Instances == 1 })
	key := a.prefix + ":instances"
	a.overwrite(key)
	redistest.Eventually(t, "the log says which key to delete", func() bool { return a.warned(logOverwritten, "delete it", key) == 1 })
	id, _ := a.begin()
	a.del(a.liveKey(id))
	a.dueAt("1", id)
	if s := a.nextDestroyed(); s.ID != id {
		t.Errorf("ended: %s, want %s", s.ID, id)
	}
	a.del(key)
	redistest.Eventually(t, "the log says that heartbeats work again", func() bool { return a.log.Contains(logHeartbeatsAgain) })
	if n := a.warned("heartbeat"); n != 1 {
		t.Errorf("%d lines about it, want one:\n%s", n, strings.Join(a.severe(), ""))
	}
}
