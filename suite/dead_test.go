package suite_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
)

// Dead returns, for each end, the session as its hooks saw it, why the hooks failed, how
// often they were tried, and since when the end has been dead.
func TestDeadTellsWhatFailed(t *testing.T) {
	t.Parallel()
	on, p := shared(t), redistest.Prefix()
	a := newDeadApp(t, on, p)
	if got := a.list(); len(got) > 0 {
		t.Errorf("dead: %+v", got)
	}
	before := serverTime(t, a.admin)
	id := a.bury("ann")
	after := serverTime(t, a.admin)

	other := newDeadApp(t, on, p) // it has not started, and sees the dead ends of all instances
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
	now, err := rdb.Time(redistest.Within(t)).Result()
	if err != nil {
		t.Fatal(err)
	}
	return now.Truncate(time.Millisecond)
}

// The error of a dead end has the text of a panic, without the stack. A text that is too
// long is cut.
func TestDeadTellsPanicsAndCutsTexts(t *testing.T) {
	t.Parallel()
	a := newDeadApp(t, shared(t), redistest.Prefix())
	a.failWith(func() error { panic("no engine") })
	a.bury("ann")
	if got := a.list()[0].Error; got != "destroyed hook 2: hook panicked: no engine" {
		t.Errorf("error: %q", got)
	}
	if err := a.m.DropDead(redistest.Within(t), a.ids()[0]); err != nil {
		t.Fatal(err)
	}
	a.failWith(func() error { return errors.New(strings.Repeat("\u20ac", 5000)) })
	a.bury("ann")
	got := a.list()[0].Error
	if len(got) > 1024 || len(got) < 1020 || !utf8.ValidString(got) || !strings.Contains(got, "\u20ac\u20ac") {
		t.Errorf("error of %d bytes: %q", len(got), got)
	}
}

// RetryDead runs the hooks that have failed, at once. Nothing of the end is left afterwards.
func TestRetryDead(t *testing.T) {
	t.Parallel()
	// The instance looks for ends by itself only after a minute, which is too late for the
	// test: it is the message of RetryDead that makes it look.
	a := newDeadApp(t, shared(t), redistest.Prefix(), lifecycle.WithLookInterval(time.Minute)).begun()
	id := a.bury("ann")
	a.failWith(func() error { return nil })
	if err := a.m.RetryDead(redistest.Within(t), id); err != nil {
		t.Fatal(err)
	}
	s := a.nextDestroyed()
	if s.ID != id || s.Attempt != 3 || s.Get("user") != "ann" || s.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("session: %+v", s)
	}
	if n := a.first.Load(); n != 1 {
		t.Errorf("the hook that had succeeded ran %d times", n)
	}
	a.nothingLeft()
	a.isNotDead(id)
}

// Another instance runs all global hooks of a retried end. The closure has run on the first
// instance and does not run again. Nothing of the end is left afterwards.
func TestRetryDeadOnAnotherInstance(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a := newDeadApp(t, d, p)
	var held atomic.Int64
	a.hold(func(context.Context, *lifecycle.Session) error { held.Add(1); return nil })
	v := new(visitor)
	id := a.ok(v, "/hold")
	a.ok(v, "/destroy")
	a.isDead(id)
	a.shutdown()
	b := newDeadApp(t, d, p)
	b.failWith(func() error { return nil })
	b.start()
	if err := b.m.RetryDead(redistest.Within(t), id); err != nil {
		t.Fatal(err)
	}
	if s := b.nextDestroyed(); s.ID != id || s.Attempt != 3 || b.first.Load() != 1 || held.Load() != 1 {
		t.Errorf("session: %+v; the first hook ran %d times, the closure %d times", s, b.first.Load(), held.Load())
	}
	b.nothingLeft()
}

// If the hooks of a retried end fail again, the end is dead again at once, without another
// attempt.
func TestRetryDeadFailsAgain(t *testing.T) {
	t.Parallel()
	// After another attempt there would be a pause of one hour, and the test would fail.
	a := newDeadApp(t, shared(t), redistest.Prefix(), lifecycle.WithRetry(1, time.Hour, time.Hour)).begun()
	id := a.bury("ann")
	was := a.list()[0]
	a.failWith(func() error { return errors.New("still away") })
	if err := a.m.RetryDead(redistest.Within(t), id); err != nil {
		t.Fatal(err)
	}
	var got []*lifecycle.DeadEnd
	redistest.Eventually(t, "it is dead again", func() bool {
		got = a.list()
		return len(got) == 1 && got[0].Attempts == 2 && a.m.Stats().Buried == 2 // the figure changes a moment later
	})
	if d := got[0]; d.Session.ID != id || d.Error != "destroyed hook 2: still away" || d.BuriedAt.Before(was.BuriedAt) || d.Session.Attempt != 2 {
		t.Errorf("%+v", d)
	}
	if s := a.m.Stats(); s.HooksRetried != 0 || a.first.Load() != 1 {
		t.Errorf("figures: %+v; the first hook ran %d times", s, a.first.Load())
	}
}

// DropDead removes a dead end, and no other.
func TestDropDead(t *testing.T) {
	t.Parallel()
	a := newDeadApp(t, shared(t), redistest.Prefix())
	kept, dropped := a.bury("ann"), a.bury("bob")
	if err := a.m.DropDead(redistest.Within(t), dropped); err != nil {
		t.Fatal(err)
	}
	if keys := a.keys("*:" + dropped + "*"); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
	if got := a.ids(); !slices.Equal(got, []string{kept}) {
		t.Errorf("dead: %v", got)
	}
	a.isNotDead(dropped)
	if err := a.m.DropDead(redistest.Within(t), kept); err != nil {
		t.Fatal(err)
	}
	a.nothingLeft()
	a.quiet()
}

// RetryDead and DropDead change nothing if the session is not dead, or if the text is no ID.
func TestNotDead(t *testing.T) {
	t.Parallel()
	a := newDeadApp(t, shared(t), redistest.Prefix())
	live, v := a.begin()
	for _, id := range []string{live, strings.Repeat("A", 22), "", "x", "../../../../etc/passwd", live + "*"} {
		a.isNotDead(id)
	}
	if id := a.ok(v, "/"); id != live {
		t.Errorf("session %s, want the live one, %s", id, live)
	}
	if err := a.m.RetryDead(redistest.Within(t), strings.Repeat("\x00", 1<<20)); !errors.Is(err, lifecycle.ErrNotDead) || len(err.Error()) > 2048 {
		t.Errorf("%.100v", err)
	}
}

// After a FLUSHALL there are no dead ends. While Redis is away the calls return an error.
func TestDeadWithoutRedis(t *testing.T) {
	t.Parallel()
	a := newDeadApp(t, onServer(t, startServer(t)), redistest.Prefix(), tuned(testonly.Tuning{DeadInterval: time.Millisecond}), lifecycle.WithDeadLimit(1))
	id := a.bury("ann")
	a.admin.FlushAll(redistest.Within(t))
	if got := a.list(); len(got) > 0 {
		t.Errorf("dead: %+v", got)
	}
	a.isNotDead(id)
	id = a.bury("bob")

	b := newAppWithoutHooks(t, a.on, a.prefix)
	if n, err := b.m.Count(redistest.Within(t)); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	_ = b.rdb.Close() // calls fail as with a server that is away, but at once
	var errs []error
	for d, err := range b.m.Dead(redistest.Within(t)) {
		if d != nil {
			t.Errorf("dead: %+v", d)
		}
		errs = append(errs, err)
	}
	errs = append(errs, b.m.RetryDead(redistest.Within(t), id), b.m.DropDead(redistest.Within(t), id))
	if len(errs) != 3 {
		t.Errorf("errors: %v, want three", errs)
	}
	for _, err := range errs {
		if !errors.Is(err, lifecycle.ErrUnavailable) || errors.Is(err, lifecycle.ErrNotDead) {
			t.Errorf("error: %v", err)
		}
	}
}
