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

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
)

// dueAt moves the due entries of sessions, all of one bucket; at is what ZADD takes.
func (a *app) dueAt(at string, ids ...string) {
	a.t.Helper()
	for _, id := range ids {
		if err := a.admin.Do(within(a.t), "zadd", a.prefix+":{0}:due", "xx", at, id).Err(); err != nil {
			a.t.Fatal(err)
		}
	}
}

// overwrite replaces a key by one of another type.
func (a *app) overwrite(key string) {
	a.t.Helper()
	_, err := a.admin.TxPipelined(within(a.t), func(tx redis.Pipeliner) error { // nothing comes in between
		tx.Del(within(a.t), key)
		tx.RPush(within(a.t), key, "something else")
		return nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

// told returns how many lines at Warn and above have all of these words.
func (a *app) told(words ...string) (n int) {
	for _, line := range a.log.severe() {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			n++
		}
	}
	return n
}

// Wrong bytes in Redis, whoever wrote them, are the trouble of their own session: the
// others of its bucket end, and what somebody has to do is said once.
func TestWrongBytesTroubleTheirOwnSession(t *testing.T) {
	t.Parallel()
	end := func(fields ...any) func(*app, string) {
		return func(a *app, id string) {
			a.admin.HSet(within(a.t), a.prefix+":{0}:end:"+id, append([]any{"reason", "r"}, fields...)...)
		}
	}
	overwritten := func(kind string) func(*app, string) {
		return func(a *app, id string) { a.overwrite(a.prefix + ":{0}:" + kind + ":" + id) }
	}
	for name, c := range map[string]struct {
		write  func(a *app, id string) // what others write
		at     string                  // when it is due then, after its live key is gone
		reason lifecycle.Reason        // with which it ends all the same
		mend   func(a *app, id string) // without which it does not
		said   []string                // by one line
	}{
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
			said: []string{"cannot be handled", "delete that one", "WRONGTYPE"},
		},
		"watchers that are none": {write: overwritten("watch"), reason: lifecycle.ReasonIdleTimeout},
		"watchers of others": {write: func(a *app, id string) {
			a.admin.SAdd(within(a.t), a.prefix+":{0}:watch:"+id, "", "nobody", "a b\r\n*", strings.Repeat("x", 10_000))
		}, reason: lifecycle.ReasonIdleTimeout},
		"a record that is none": {write: overwritten("session"), reason: lifecycle.ReasonLost},
		"due before everything": {at: "-inf", reason: lifecycle.ReasonIdleTimeout, said: []string{"impossible time"}},
		"due at the beginning":  {at: "0", reason: lifecycle.ReasonIdleTimeout, said: []string{"impossible time"}},
		"due at a fraction":     {at: "1.5", reason: lifecycle.ReasonIdleTimeout},
		"due far off":           {at: "1e300", reason: lifecycle.ReasonIdleTimeout, said: []string{"impossible time"}},
		"due never":             {at: "inf", reason: lifecycle.ReasonIdleTimeout, said: []string{"impossible time"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), prefix(), lifecycle.WithBuckets(1), lifecycle.WithNotifications(false),
				lifecycle.WithLookInterval(10*time.Millisecond), lifecycle.WithLease(time.Second))
			bad, _ := a.begin()
			if c.write != nil {
				c.write(a, bad)
			}
			a.del(a.liveKey(bad))
			a.dueAt(cmp.Or(c.at, "1"), bad)
			a.start()
			ended := make(map[string]lifecycle.Reason)
			until := func(ids ...string) {
				t.Helper()
				for slices.ContainsFunc(ids, func(id string) bool { return ended[id] == "" }) {
					s := a.nextDestroyed()
					if _, twice := ended[s.ID]; twice {
						t.Errorf("session %s ended twice", s.ID)
					}
					ended[s.ID] = s.Reason
				}
			}
			others := func() {
				t.Helper()
				var ids []string
				for range 5 {
					id, _ := a.begin()
					ids = append(ids, id)
					a.del(a.liveKey(id))
				}
				a.dueAt("2", ids...)
				until(ids...)
			}
			others()
			others()
			if c.mend != nil {
				if ended[bad] != "" {
					t.Errorf("it has ended: %s", ended[bad])
				}
				c.mend(a, bad)
			}
			until(bad)
			if ended[bad] != c.reason {
				t.Errorf("it has ended: %q, want %q", ended[bad], c.reason)
			}
			others()
			want := min(len(c.said), 1)
			if about := a.told("session=" + bad); about != want || a.told(append(c.said, "session="+bad)...) != want {
				t.Errorf("%d lines, want %d:\n%s", about, want, strings.Join(a.log.severe(), ""))
			}
			eventually(t, "all are acked", func() bool { return len(a.keys("due")) == 0 })
		})
	}
}

// A hook that fails at an attempt that others have written is tried again like any
// other.
func TestAttemptsThatOthersHaveWritten(t *testing.T) {
	t.Parallel()
	for _, attempt := range []string{"-5", "x", "nan", "-inf", "99999999999999999999"} {
		t.Run(attempt, func(t *testing.T) {
			t.Parallel()
			a := newAppWithoutHooks(t, shared(t), prefix(), lifecycle.WithBuckets(1), lifecycle.WithRetry(2, time.Millisecond, time.Millisecond))
			attempts := make(chan int, 10)
			a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
				attempts <- s.Attempt
				return errors.New("it fails")
			})
			id, _ := a.begin()
			a.admin.HSet(within(t), a.prefix+":{0}:end:"+id, "reason", "r", "attempt", attempt)
			a.del(a.liveKey(id))
			a.dueAt("1", id)
			a.start()
			for want := 1; want <= 2; want++ {
				if got := receive(t, attempts); got != want {
					t.Errorf("attempt %d, want %d", got, want)
				}
			}
			eventually(t, "it is buried", func() bool { return a.m.Stats().Buried == 1 })
			for d, err := range a.m.Dead(within(t)) {
				if err != nil || d.Session.ID != id || d.Attempts != 2 {
					t.Errorf("dead: %+v, %v", d, err)
				}
			}
		})
	}
}

// An end that cannot be buried, as the dead set was overwritten, is not tried again
// with every lease; once the key is deleted it is buried. The dead ends of other
// buckets are listed all the same.
func TestOverwrittenDeadSet(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), prefix(), lifecycle.WithBuckets(2), lifecycle.WithLease(100*time.Millisecond),
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
		if strings.Contains(a.liveKey(id), ":{0}:") {
			there = id
		} else {
			here = id
		}
	}
	a.start()
	for _, id := range []string{there, here} {
		if err := a.m.Destroy(within(t), id, ""); err != nil {
			t.Fatal(err)
		}
		for receive(t, tried) != id {
			t.Errorf("another one than %s", id)
		}
	}
	eventually(t, "one is buried, one put off", func() bool { s := a.m.Stats(); return s.Buried == 1 && s.HooksRetried == 1 })
	began := time.Now()
	eventually(t, "several leases are over", func() bool { return time.Since(began) > 400*time.Millisecond })
	if len(tried) != 0 {
		t.Errorf("tried again: %s", <-tried)
	}
	var dead []string
	for d, err := range a.m.Dead(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		dead = append(dead, d.Session.ID)
	}
	if !slices.Equal(dead, []string{here}) {
		t.Errorf("dead: %v, want %s", dead, here)
	}
	if n := a.told("has overwritten a dead set", "bucket=0"); n != 1 {
		t.Errorf("%d lines:\n%s", n, strings.Join(a.log.severe(), ""))
	}
	a.del(a.prefix + ":{0}:dead")
	a.dueAt("1", there)
	eventually(t, "it is buried", func() bool { return a.m.Stats().Buried == 2 })
}

// A due-index or a record that others have overwritten keeps nobody from listing,
// counting and shutting down the rest.
func TestOverwrittenKeysInQueries(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix(), lifecycle.WithBuckets(2))
	held := make(chan string, 100)
	a.get("/hold", func(c *lifecycle.Context) {
		a.answer(c, c.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
			held <- fmt.Sprint(s.ID, " ", s.Get("user"))
			return nil
		}))
	})
	a.start()
	var here, there []string
	for len(here) < 3 || len(there) < 1 {
		id, v := a.begin()
		a.ok(v, "/hold")
		a.ok(v, "/set?user=alice") // behind what the instance knows
		if strings.Contains(a.liveKey(id), ":{0}:") {
			there = append(there, id)
		} else {
			here = append(here, id)
		}
	}
	a.overwrite(a.prefix + ":{0}:due")
	a.overwrite(a.prefix + ":{1}:session:" + here[0])
	if n, err := a.m.Count(within(t)); n != len(here) || err != nil {
		t.Errorf("count: %d, %v; want %d", n, err, len(here))
	}
	var found []string
	for s, err := range a.m.All(within(t)) {
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
		told[receive(t, held)] = true
	}
	for _, id := range slices.Concat(here[1:], there) {
		if !told[id+" alice"] {
			t.Errorf("%s is not told as Redis has it: %v", id, told)
		}
	}
	if left := a.keys("watch:*"); len(left) != 0 {
		t.Errorf("it is still noted as a holder: %v", left)
	}
}

// A list of instances that others have overwritten is told of as what it is. Those
// who knew their buckets go on, and when the key is deleted all of it works again.
func TestOverwrittenInstances(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix(), lifecycle.WithBuckets(1))
	a.start()
	eventually(t, "it is alone", func() bool { return a.m.Stats().Instances == 1 })
	key := a.prefix + ":instances"
	a.overwrite(key)
	eventually(t, "it is told", func() bool { return a.told("a key of the whole fleet", "delete it", key) == 1 })
	id, _ := a.begin()
	a.del(a.liveKey(id))
	a.dueAt("1", id)
	if s := a.nextDestroyed(); s.ID != id {
		t.Errorf("ended: %s, want %s", s.ID, id)
	}
	a.del(key)
	eventually(t, "it works again", func() bool { return contains(a.log, "the heartbeat works again") })
	if n := a.told("heartbeat"); n != 1 {
		t.Errorf("%d lines:\n%s", n, strings.Join(a.log.severe(), ""))
	}
}
