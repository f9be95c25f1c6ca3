package suite_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// fill makes Redis refuse all commands that need memory, until empty is called.
func fill(t testing.TB, rdb redis.UniversalClient) (empty func()) {
	t.Helper()
	limit := func(bytes string) {
		t.Helper()
		if err := rdb.ConfigSet(redistest.Within(t), "maxmemory", bytes).Err(); err != nil {
			t.Fatal(err)
		}
	}
	limit("1")
	return func() { limit("0") }
}

// A logout needs no memory in Redis: it works while Redis is out of memory.
func TestLogoutWithoutMemory(t *testing.T) {
	t.Parallel()
	a := newApp(t, onServer(t, startServer(t)), redistest.Prefix()).start()
	id, v := a.begin()
	empty := fill(t, a.admin)
	a.ok(v, "/destroy")
	if _, err := a.m.Get(redistest.Within(t), id); !errors.Is(err, lifecycle.ErrSessionEnded) {
		t.Errorf("the session lives: %v", err)
	}
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("ended: %s, %s", s.ID, s.Reason)
	}
	redistest.Eventually(t, "the end is finished", func() bool { return len(a.keys("session:*")) == 0 })
	empty()
}

// While Redis is out of memory, the ends of sessions whose hooks fail cannot be retried or
// given up: both need memory. The ends of other sessions are finished all the same, which
// frees memory.
func TestEndsFinishWithoutMemory(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, onServer(t, startServer(t)), redistest.Prefix())
	const bad = 900 // more than the library finishes in one round trip
	var failed atomic.Int64
	var mended atomic.Bool
	all, full := make(chan struct{}), make(chan struct{})
	var good atomic.Value
	good.Store("")
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		<-full
		if s.ID == good.Load() {
			<-all
			return nil
		}
		if mended.Load() {
			return nil
		}
		if failed.Add(1) == bad {
			close(all)
		}
		return errors.New("bad hook")
	})
	a.start()
	id, _ := a.begin()
	good.Store(id)
	for range bad {
		a.begin()
	}
	a.del(a.keys("live:*")...)
	redistest.Eventually(t, "the instance has found all ends", func() bool { return len(a.keys("end:*")) == bad+1 })
	empty := fill(t, a.admin)
	close(full)
	redistest.Receive(t, all)
	redistest.Eventually(t, "the good end is finished", func() bool { return len(a.keys("session:"+id)) == 0 })
	if n := len(a.keys("session:*")); n != bad {
		t.Errorf("%d sessions are left, want %d", n, bad)
	}
	mended.Store(true)
	empty()
	redistest.Eventually(t, "all ends are finished", func() bool { return len(a.keys("session:*")) == 0 })
}
