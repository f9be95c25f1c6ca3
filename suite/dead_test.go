package suite_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
)

// deadApp is an app with two destroyed hooks: the first succeeds, the second
// does as fail says.
type deadApp struct {
	*app
	first atomic.Int64 // calls of the first hook
	fail  atomic.Pointer[func() error]
}

func newDeadApp(t testing.TB, d deployment, prefix string, opts ...lifecycle.Option) *deadApp {
	t.Helper()
	a := &deadApp{app: newAppWithoutHooks(t, d, prefix,
		append([]lifecycle.Option{lifecycle.WithRetry(2, time.Millisecond, time.Millisecond)}, opts...)...)}
	a.failWith(func() error { return errors.New("the database is away") })
	a.m.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
		a.first.Add(1)
		return nil
	})
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		if err := (*a.fail.Load())(); err != nil {
			return err
		}
		a.destroyed <- s
		return nil
	})
	return a
}

func (a *deadApp) failWith(f func() error) { a.fail.Store(&f) }

// list returns the dead ends.
func (a *deadApp) list() (ends []*lifecycle.DeadEnd) {
	a.t.Helper()
	for d, err := range a.m.Dead(within(a.t)) {
		if err != nil {
			a.t.Fatal(err)
		}
		ends = append(ends, d)
	}
	return ends
}

func (a *deadApp) ids() (ids []string) {
	a.t.Helper()
	for _, d := range a.list() {
		ids = append(ids, d.Session.ID)
	}
	return ids
}

// bury has a session of this user begin and end, and waits until its end is dead.
func (a *deadApp) bury(user string) (id string) {
	a.t.Helper()
	v := new(visitor)
	id = a.ok(v, "/set?user="+user)
	a.ok(v, "/destroy")
	eventually(a.t, "the end is buried", func() bool { return slices.Contains(a.ids(), id) })
	return id
}

// nothing fails unless every key of every session goes.
func (a *deadApp) nothing() {
	a.t.Helper()
	eventually(a.t, "no key is left", func() bool { return len(a.keys("*")) == 0 })
}

// Each dead end is told with what its hooks saw, why they failed, how often,
// and since when.
func TestDeadTellsWhatFailed(t *testing.T) {
	t.Parallel()
	on, p := shared(t), prefix()
	a := newDeadApp(t, on, p)
	if got := a.list(); len(got) > 0 {
		t.Errorf("dead: %+v", got)
	}
	before := serverTime(t, a.admin)
	id := a.bury("ann")
	after := serverTime(t, a.admin)

	other := newDeadApp(t, on, p) // sees the whole fleet's, without being at work
	got := other.list()
	if len(got) != 1 {
		t.Fatalf("dead: %+v", got)
	}
	d, s := got[0], got[0].Session
	if s.ID != id || s.Reason != lifecycle.ReasonDestroyed || s.Attempt != 2 || s.CreatedAt.IsZero() ||
		s.EndedAt.Before(s.CreatedAt) || s.Get("user") != "ann" || s.Err() != nil || s.Request.Method != http.MethodGet {
		t.Errorf("session: %+v", s)
	}
	if d.Attempts != 2 || d.Error != "destroyed hook 2: the database is away" {
		t.Errorf("%d attempts, error %q", d.Attempts, d.Error)
	}
	if d.BuriedAt.Before(before) || d.BuriedAt.After(after) || d.BuriedAt.Before(s.EndedAt) {
		t.Errorf("buried at %v, not from %v to %v", d.BuriedAt, before, after)
	}
}

func serverTime(t testing.TB, rdb redis.UniversalClient) time.Time {
	t.Helper()
	now, err := rdb.Time(within(t)).Result()
	if err != nil {
		t.Fatal(err)
	}
	return now.Truncate(time.Millisecond)
}

// A panic's text is told, without its stack, and no text is kept whole that is
// too long.
func TestDeadTellsPanicsAndCutsTexts(t *testing.T) {
	t.Parallel()
	a := newDeadApp(t, shared(t), prefix())
	a.failWith(func() error { panic("no engine") })
	a.bury("ann")
	if got := a.list()[0].Error; got != "destroyed hook 2: hook panicked: no engine" {
		t.Errorf("error: %q", got)
	}
	if err := a.m.DropDead(within(t), a.ids()[0]); err != nil {
		t.Fatal(err)
	}
	a.failWith(func() error { return errors.New(strings.Repeat("\u20ac", 5000)) })
	a.bury("ann")
	got := a.list()[0].Error
	if len(got) > 1024 || len(got) < 1020 || !utf8.ValidString(got) || !strings.Contains(got, "\u20ac\u20ac") {
		t.Errorf("error of %d bytes: %q", len(got), got)
	}
}

// A retried end runs what has failed, at once, and leaves nothing behind.
func TestRetryDead(t *testing.T) {
	t.Parallel()
	// Only the message to the keeper makes it look before the test's patience ends.
	a := newDeadApp(t, shared(t), prefix(), lifecycle.WithLookInterval(time.Minute)).begun()
	id := a.bury("ann")
	a.failWith(func() error { return nil })
	if err := a.m.RetryDead(within(t), id); err != nil {
		t.Fatal(err)
	}
	s := a.nextDestroyed()
	if s.ID != id || s.Attempt != 3 || s.Get("user") != "ann" || s.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("session: %+v", s)
	}
	if n := a.first.Load(); n != 1 {
		t.Errorf("the hook that had succeeded ran %d times", n)
	}
	a.nothing()
	a.isNotDead(id)
}

// begun waits until this instance hears what its keeper is told.
func (a *deadApp) begun() *deadApp {
	a.t.Helper()
	a.start()
	a.listens()
	return a
}

func (a *deadApp) isNotDead(id string) {
	a.t.Helper()
	for name, op := range map[string]func(context.Context, string) error{"retry": a.m.RetryDead, "drop": a.m.DropDead} {
		if err := op(within(a.t), id); !errors.Is(err, lifecycle.ErrNotDead) || !strings.Contains(err.Error(), id) {
			a.t.Errorf("%s %q: %v", name, id, err)
		}
	}
}

// Another instance may run the hooks of a retried end, all of them: nothing is
// left of it either, not even for the instance that held a handler's hook.
func TestRetryDeadOnAnotherInstance(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
	a := newDeadApp(t, d, p)
	var held atomic.Int64
	a.hold(func(context.Context, *lifecycle.Session) error { held.Add(1); return nil })
	v := new(visitor)
	id := a.ok(v, "/hold")
	a.ok(v, "/destroy")
	eventually(t, "the end is buried", func() bool { return slices.Contains(a.ids(), id) })
	a.shutdown()
	b := newDeadApp(t, d, p)
	b.failWith(func() error { return nil })
	b.start()
	if err := b.m.RetryDead(within(t), id); err != nil {
		t.Fatal(err)
	}
	if s := b.nextDestroyed(); s.ID != id || s.Attempt != 3 || b.first.Load() != 1 || held.Load() != 1 {
		t.Errorf("session: %+v, %d, %d", s, b.first.Load(), held.Load())
	}
	b.nothing()
}

// The attempts are used up: an end that fails again is dead again at once.
func TestRetryDeadFailsAgain(t *testing.T) {
	t.Parallel()
	// No pause between attempts would end within the test's patience.
	a := newDeadApp(t, shared(t), prefix(), lifecycle.WithRetry(1, time.Hour, time.Hour)).begun()
	id := a.bury("ann")
	was := a.list()[0]
	a.failWith(func() error { return errors.New("still away") })
	if err := a.m.RetryDead(within(t), id); err != nil {
		t.Fatal(err)
	}
	var got []*lifecycle.DeadEnd
	eventually(t, "it is dead again", func() bool {
		got = a.list()
		return len(got) == 1 && got[0].Attempts == 2 && a.m.Stats().Buried == 2 // which is counted a moment later
	})
	if d := got[0]; d.Session.ID != id || d.Error != "destroyed hook 2: still away" || d.BuriedAt.Before(was.BuriedAt) || d.Session.Attempt != 2 {
		t.Errorf("%+v", d)
	}
	if s := a.m.Stats(); s.HooksRetried != 0 || a.first.Load() != 1 {
		t.Errorf("%+v, %d", s, a.first.Load())
	}
}

func TestDropDead(t *testing.T) {
	t.Parallel()
	a := newDeadApp(t, shared(t), prefix())
	kept, dropped := a.bury("ann"), a.bury("bob")
	if err := a.m.DropDead(within(t), dropped); err != nil {
		t.Fatal(err)
	}
	if keys := a.keys("*:" + dropped + "*"); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
	if got := a.ids(); !slices.Equal(got, []string{kept}) {
		t.Errorf("dead: %v", got)
	}
	a.isNotDead(dropped)
	if err := a.m.DropDead(within(t), kept); err != nil {
		t.Fatal(err)
	}
	a.nothing()
	a.quiet()
}

// What is no dead end is not touched, and what is no ID becomes part of no key.
func TestNotDead(t *testing.T) {
	t.Parallel()
	a := newDeadApp(t, shared(t), prefix())
	live, v := a.begin()
	for _, id := range []string{live, strings.Repeat("A", 22), "", "x", "../../../../etc/passwd", live + "*"} {
		a.isNotDead(id)
	}
	if id := a.ok(v, "/"); id != live {
		t.Errorf("the live session is gone: %s", id)
	}
	if err := a.m.RetryDead(within(t), strings.Repeat("\x00", 1<<20)); !errors.Is(err, lifecycle.ErrNotDead) || len(err.Error()) > 2048 {
		t.Errorf("%.100v", err)
	}
}

// A loop over the dead ends may be left, may drop and retry what it meets, and
// is over even if all of that fails again.
func TestLoopsOverDeadEnds(t *testing.T) {
	t.Parallel()
	const ends = 300 // more than two pages
	a := newDeadApp(t, shared(t), prefix(), lifecycle.WithBuckets(1)).begun()
	for range ends {
		v := new(visitor)
		a.ok(v, "/set?user=ann")
		a.ok(v, "/destroy")
	}
	eventually(t, "all are dead", func() bool { return a.m.Stats().Buried == ends && len(a.ids()) == ends })
	all := a.list()
	if !slices.IsSortedFunc(all, func(x, y *lifecycle.DeadEnd) int { return x.BuriedAt.Compare(y.BuriedAt) }) {
		t.Error("not the oldest first")
	}

	n := 0
	for _, err := range a.m.Dead(within(t)) {
		if n++; n == 2 || err != nil {
			break
		}
	}
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	n = 0
	var failed error
	for d, err := range a.m.Dead(ctx) {
		if failed != nil || (d == nil) != (err != nil) {
			t.Errorf("after the error: %v, %v", d, err)
		}
		if failed = err; err == nil {
			n++
			cancel()
		}
	}
	if n != 1 || !errors.Is(failed, context.Canceled) {
		t.Errorf("%d ends and %v of a cancelled loop", n, failed)
	}

	// Those that come back while the loop goes on do not come again.
	seen := make(map[string]int)
	for d, err := range a.m.Dead(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		seen[d.Session.ID]++
		if err := a.m.RetryDead(within(t), d.Session.ID); err != nil {
			t.Fatal(err)
		}
		if len(seen) == ends/2 {
			eventually(t, "the first half is dead again", func() bool { return a.m.Stats().Buried == ends+ends/2 && len(a.ids()) == ends })
		}
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
	eventually(t, "all are dead again", func() bool { return a.m.Stats().Buried == 2*ends && len(a.ids()) == ends })
	if len(seen) != ends {
		t.Errorf("%d of %d came", len(seen), ends)
	}

	// One that vanishes behind the loop's back is left out, whatever becomes of it.
	orphan := a.ids()[ends-1]
	a.admin.Del(within(t), a.key("end:"+orphan))
	n = 0
	for d, err := range a.m.Dead(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if err := a.m.DropDead(within(t), d.Session.ID); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != ends-1 {
		t.Errorf("%d dropped", n)
	}
	a.isNotDead(orphan) // takes it out
	a.nothing()
}

// The dead set keeps to its limit: the oldest go, one line tells how many, and
// nothing is left of them.
func TestDeadLimit(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
	a := newDeadApp(t, d, p, lifecycle.WithBuckets(2), lifecycle.WithDeadLimit(0),
		tuned(testonly.Tuning{DeadInterval: time.Millisecond}))
	var ids []string
	for range 12 {
		ids = append(ids, a.bury("ann"))
	}
	eventually(t, "all are counted", func() bool { return a.m.Stats().Dead == 12 })
	a.shutdown()
	if s := a.m.Stats(); s.Dropped != 0 || len(a.ids()) != 12 {
		t.Errorf("without a limit: %+v", s)
	}

	b := newDeadApp(t, d, p, lifecycle.WithBuckets(2), lifecycle.WithDeadLimit(3),
		tuned(testonly.Tuning{DeadInterval: time.Millisecond}))
	byBucket := make(map[string][]string) // the latest first
	for _, id := range slices.Backward(ids) {
		bucket := b.key("session:" + id)[len(p):][:4]
		byBucket[bucket] = append(byBucket[bucket], id)
	}
	buckets := slices.SortedFunc(maps.Keys(byBucket), func(x, y string) int {
		return cmp.Or(len(byBucket[x])-len(byBucket[y]), cmp.Compare(x, y))
	})
	var kept, dropped []string
	for i, bucket := range buckets {
		ids := byBucket[bucket]
		n := min(len(ids), (3-len(kept))/(len(buckets)-i)) // the fullest give
		kept, dropped = append(kept, ids[:n]...), append(dropped, ids[n:]...)
	}
	b.start()
	eventually(t, "it is trimmed", func() bool {
		s := b.m.Stats()
		return int(s.Dropped) == len(dropped) && s.Dead == len(kept) && contains(b.log, "the dead set is over its limit")
	})
	got := b.ids()
	slices.Sort(got)
	slices.Sort(kept)
	if !slices.Equal(got, kept) {
		t.Errorf("dead: %v, want %v", got, kept)
	}
	for _, id := range dropped {
		if keys := b.keys("*:" + id + "*"); len(keys) > 0 {
			t.Errorf("left: %v", keys)
		}
		b.isNotDead(id)
	}
	// One line for each trim, and a bucket is trimmed once.
	if n := strings.Count(b.log.String(), "over its limit"); n > 2 || !contains(b.log, "level=ERROR") {
		t.Errorf("%d lines: %s", n, b.log)
	}
	b.quiet()
}

// Nothing is dropped that is within the limit, however unevenly it falls into the
// buckets; one too many takes one with it.
func TestDeadLimitCountsAllBuckets(t *testing.T) {
	t.Parallel()
	const limit = 10
	a := newDeadApp(t, shared(t), prefix(), lifecycle.WithBuckets(16), lifecycle.WithDeadLimit(limit),
		tuned(testonly.Tuning{DeadInterval: time.Millisecond}))
	for range limit {
		a.bury("ann")
	}
	if got := len(a.ids()); got != limit {
		t.Fatalf("%d dead ends: %s", got, a.log)
	}
	eventually(t, "all are counted", func() bool { return a.m.Stats().Dead == limit })
	v := new(visitor)
	a.ok(v, "/set?user=ann")
	a.ok(v, "/destroy")
	eventually(t, "one is dropped", func() bool { return a.m.Stats().Dropped > 0 })
	if n, left := a.m.Stats().Dropped, len(a.ids()); n != 1 || left != limit {
		t.Errorf("%d dropped, %d left", n, left)
	}
}

// Redis away, or flushed, is told or seen once and harms nothing.
func TestDeadWithoutRedis(t *testing.T) {
	t.Parallel()
	a := newDeadApp(t, onServer(t, startServer(t)), prefix(), tuned(testonly.Tuning{DeadInterval: time.Millisecond}), lifecycle.WithDeadLimit(1))
	id := a.bury("ann")
	a.admin.FlushAll(within(t))
	if got := a.list(); len(got) > 0 {
		t.Errorf("dead: %+v", got)
	}
	a.isNotDead(id)
	id = a.bury("bob")

	b := newAppWithoutHooks(t, a.on, a.prefix)
	if n, err := b.m.Count(within(t)); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	_ = b.rdb.Close() // as good as a server that is away, and at once
	var errs []error
	for d, err := range b.m.Dead(within(t)) {
		if d != nil {
			t.Errorf("dead: %+v", d)
		}
		errs = append(errs, err)
	}
	errs = append(errs, b.m.RetryDead(within(t), id), b.m.DropDead(within(t), id))
	if len(errs) != 3 {
		t.Errorf("errors: %v", errs)
	}
	for _, err := range errs {
		if !errors.Is(err, lifecycle.ErrUnavailable) || errors.Is(err, lifecycle.ErrNotDead) {
			t.Errorf("error: %v", err)
		}
	}
}
