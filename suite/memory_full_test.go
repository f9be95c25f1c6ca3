package suite_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
)

// fill makes Redis refuse what needs memory, until the returned function is called.
func fill(t testing.TB, rdb redis.UniversalClient) (empty func()) {
	t.Helper()
	limit := func(bytes string) {
		t.Helper()
		if err := rdb.ConfigSet(within(t), "maxmemory", bytes).Err(); err != nil {
			t.Fatal(err)
		}
	}
	limit("1")
	return func() { limit("0") }
}

// A logout needs no memory, and works with a Redis that has none.
func TestLogoutWithoutMemory(t *testing.T) {
	t.Parallel()
	a := newApp(t, onServer(t, startServer(t)), prefix()).start()
	id, v := a.begin()
	empty := fill(t, a.admin)
	a.ok(v, "/destroy")
	if _, err := a.m.Get(within(t), id); !errors.Is(err, lifecycle.ErrSessionEnded) {
		t.Errorf("the session lives: %v", err)
	}
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("ended: %s, %s", s.ID, s.Reason)
	}
	eventually(t, "the end is acked", func() bool { return len(a.keys("session:*")) == 0 })
	empty()
}

// Ends that cannot be put off or buried, which needs memory, do not hold up the
// acks of others, which free it.
func TestAcksWithoutMemory(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, onServer(t, startServer(t)), prefix())
	const bad = 900 // more than are settled in one round trip
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
	eventually(t, "all ends are claimed", func() bool { return len(a.keys("end:*")) == bad+1 })
	empty := fill(t, a.admin)
	close(full)
	receive(t, all)
	eventually(t, "the good end is acked", func() bool { return len(a.keys("session:"+id)) == 0 })
	if n := len(a.keys("session:*")); n != bad {
		t.Errorf("%d records are left, want %d", n, bad)
	}
	mended.Store(true)
	empty()
	eventually(t, "all ends are acked", func() bool { return len(a.keys("session:*")) == 0 })
}
