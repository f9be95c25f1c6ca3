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
)

// leastRights returns the rights of README, "ACL", without the optional lines,
// for a prefix.
func leastRights(t testing.TB, prefix string) []string {
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

// lockedRights returns them without the channels of notifications.
func lockedRights(t testing.TB, prefix string) []string {
	t.Helper()
	return slices.DeleteFunc(leastRights(t, prefix), func(r string) bool { return strings.HasPrefix(r, "&__keyevent@") })
}

// asUser returns a deployment whose apps have these rights only.
func asUser(t *testing.T, d deployment, rights []string) deployment {
	t.Helper()
	if err := d.admin.ACLSetUser(within(t), "app", rights...).Err(); err != nil {
		t.Fatal(err)
	}
	d.at.Username, d.at.Password, d.at.Plain = "app", "password", false
	return d
}

// nothingRefused fails if Redis has refused a user anything but what the library
// and go-redis go on without.
func nothingRefused(t testing.TB, admin redis.UniversalClient, user string) {
	t.Helper()
	refused, err := admin.Do(within(t), "ACL", "LOG", 1_000_000).Slice()
	if err != nil {
		t.Error(err)
	}
	for _, entry := range refused {
		fields, _ := entry.(map[any]any)
		if fields["username"] != user {
			continue
		}
		switch what, _ := fields["object"].(string); what {
		case "config|get", "config|set", "info", "client|setinfo", "client|maint_notifications":
		default:
			t.Errorf("refused: %v", fields)
		}
	}
}

// All of the library works with the rights that the README calls the smallest:
// two instances, and every way of an end.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	d, p := onServer(t, startServer(t, "--notify-keyspace-events", "Exeg")), prefix()
	d = asUser(t, d, leastRights(t, p))
	opts := []lifecycle.Option{lifecycle.WithRetry(2, time.Millisecond, time.Millisecond)}
	a, b := newAppWithoutHooks(t, d, p, opts...), newAppWithoutHooks(t, d, p, opts...)
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
	id, _ = begin("carol")
	a.del(a.liveKey(id))
	ended(id, lifecycle.ReasonDeleted)
	id, _ = begin("dave")
	a.admin.PExpire(within(t), a.liveKey(id), time.Millisecond)
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
	calls, err := a.admin.Info(within(t), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range leastRights(t, p) {
		if name, ok := strings.CutPrefix(r, "+"); ok && !strings.Contains(calls, "cmdstat_"+name+":") {
			t.Errorf("%s is not needed, or this test does too little", r)
		}
	}
	nothingRefused(t, a.admin, "app")
}
