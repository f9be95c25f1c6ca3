package suite_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// deadApp is an app with two destroyed hooks. The first one succeeds. The second one calls
// the function of failWith.
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

// list returns the ends in the dead set.
func (a *deadApp) list() (ends []*lifecycle.DeadEnd) {
	a.t.Helper()
	for d, err := range a.m.Dead(redistest.Within(a.t)) {
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

// fails lets a session of this user begin and end. The hooks of the end fail.
func (a *deadApp) fails(user string) (id string) {
	a.t.Helper()
	v := new(visitor)
	id = a.ok(v, "/set?user="+user)
	a.ok(v, "/destroy")
	return id
}

// bury does the same and waits until the end is in the dead set.
func (a *deadApp) bury(user string) (id string) {
	a.t.Helper()
	id = a.fails(user)
	a.isDead(id)
	return id
}

// isDead waits until the end of a session is in the dead set.
func (a *deadApp) isDead(id string) {
	a.t.Helper()
	redistest.Eventually(a.t, "the end is in the dead set", func() bool { return slices.Contains(a.ids(), id) })
}

// nothingLeft waits until no key of any session is left.
func (a *deadApp) nothingLeft() {
	a.t.Helper()
	redistest.Eventually(a.t, "no key is left", func() bool { return len(a.keys("*")) == 0 })
}

// begun starts the instance and waits until it receives the messages that make it look
// for ends.
func (a *deadApp) begun() *deadApp {
	a.t.Helper()
	a.start()
	a.listens()
	return a
}

// isNotDead fails the test unless a retry and a drop return ErrNotDead.
func (a *deadApp) isNotDead(id string) {
	a.t.Helper()
	for name, op := range map[string]func(context.Context, string) error{"retry": a.m.RetryDead, "drop": a.m.DropDead} {
		if err := op(redistest.Within(a.t), id); !errors.Is(err, lifecycle.ErrNotDead) || !strings.Contains(err.Error(), id) {
			a.t.Errorf("%s %q: %v", name, id, err)
		}
	}
}
