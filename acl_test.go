package lifecycle_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// leastRights returns the rights of README, "ACL", without the optional lines,
// for a prefix.
func leastRights(t *testing.T, prefix string) []string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "ACL SETUSER app ")
	rule, _, ok2 := strings.Cut(rest, "\n\n")
	if !ok || !ok2 {
		t.Fatal("README.md has no ACL rule")
	}
	rights := strings.Fields(strings.ReplaceAll(rule, "life:", prefix+":"))
	return slices.DeleteFunc(rights, func(r string) bool { return r == "+info" || strings.HasPrefix(r, "+config") })
}

// asUser returns a client of a server that has these rights only.
func asUser(t *testing.T, server *redistest.Server, rights []string) *redis.Client {
	t.Helper()
	if err := redistest.Client(t, server.Addr).ACLSetUser(within(t), "app", rights...).Err(); err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "app", Password: "password", ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// All of the library works with the rights that the README calls the smallest:
// two instances, and every way of an end.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	server, p := redistest.Start(t, "--notify-keyspace-events", "Exeg"), prefix()
	rdb := asUser(t, server, leastRights(t, p))
	opts := []lifecycle.Option{lifecycle.WithRetry(2, time.Millisecond, time.Millisecond)}
	a, b := newAppWithoutHooks(t, rdb, p, opts...), newAppWithoutHooks(t, rdb, p, opts...)
	for _, x := range []*app{a, b} {
		x.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
			if s.Get("user") == "mallory" {
				return context.Canceled // retried, then buried
			}
			a.destroyed <- s
			return nil
		})
		x.start()
		// The first must have something to unsubscribe from when the second one comes.
		eventually(t, "it listens", func() bool {
			state := x.m.Stats().Notifications
			return state == lifecycle.NotificationsRefused || state == lifecycle.NotificationsStandby
		})
	}
	closures := make(chan lifecycle.Reason, 10)
	a.hold(func(_ context.Context, s *lifecycle.Session) error {
		closures <- s.Reason
		return nil
	})
	begin := func(user string) (string, *visitor) {
		id, v := a.begin()
		a.ok(v, "/set?user="+user)
		a.ok(v, "/rotate")
		return id, v
	}
	ended := func(id string, reason lifecycle.Reason) {
		t.Helper()
		if s := a.nextDestroyed(); s.ID != id || s.Reason != reason {
			t.Errorf("ended: %s, %s; want %s, %s", s.ID, s.Reason, id, reason)
		}
	}

	id, v := begin("alice")
	a.ok(v, "/hold")
	if s, err := b.m.Get(within(t), id); err != nil || s.Get("user") != "alice" {
		t.Errorf("get: %v, %v", s, err)
	}
	if n, err := b.m.Count(within(t)); n != 1 || err != nil {
		t.Errorf("count: %d, %v", n, err)
	}
	for s, err := range b.m.All(within(t)) {
		if err != nil || s.ID != id {
			t.Errorf("all: %v, %v", s, err)
		}
	}
	if err := b.m.Destroy(within(t), id, "banned"); err != nil {
		t.Errorf("destroy: %v", err)
	}
	ended(id, "banned")
	if r := receive(t, closures); r != "banned" {
		t.Errorf("closure: %s", r)
	}

	id, v = begin("bob")
	a.ok(v, "/destroy")
	ended(id, lifecycle.ReasonDestroyed)

	// Redis is another user's too: by a deletion, and by an early expiry, ends are
	// found that nobody has told of.
	admin := redistest.Client(t, server.Addr)
	id, _ = begin("carol")
	admin.Del(within(t), a.liveKey(id))
	ended(id, lifecycle.ReasonDeleted)
	id, _ = begin("dave")
	admin.PExpire(within(t), a.liveKey(id), time.Millisecond)
	ended(id, lifecycle.ReasonIdleTimeout)

	_, v = begin("mallory")
	a.ok(v, "/destroy")
	eventually(t, "buried", func() bool { return a.m.Stats().Buried+b.m.Stats().Buried == 1 })

	_, v = begin("eve")
	a.ok(v, "/hold")
	for _, x := range []*app{a, b} {
		x.shutdown()
	}
	if r := receive(t, closures); r != lifecycle.ReasonShutdown {
		t.Errorf("closure: %s", r)
	}
	calls, err := admin.Info(within(t), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range leastRights(t, p) {
		if name, ok := strings.CutPrefix(r, "+"); ok && !strings.Contains(calls, "cmdstat_"+name+":") {
			t.Errorf("%s is not needed, or this test does too little", r)
		}
	}
	denied, err := admin.Do(within(t), "ACL", "LOG").Slice()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range denied {
		fields, _ := entry.(map[any]any)
		switch what, _ := fields["object"].(string); what {
		case "config|get", "info", "client|setinfo", "client|maint_notifications": // done without
		default:
			t.Errorf("denied: %v", fields)
		}
	}
}

// liveKey returns the live key of a session, as an administrator finds it.
func (a *app) liveKey(id string) string {
	a.t.Helper()
	admin := redistest.Client(a.t, a.rdb.Options().Addr)
	keys, err := admin.Keys(within(a.t), a.prefix+":{*}:live:"+id+":*").Result()
	if err != nil || len(keys) != 1 {
		a.t.Fatalf("live keys of %s: %v, %v", id, keys, err)
	}
	return keys[0]
}
