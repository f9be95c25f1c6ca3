package suite_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// rule returns the words of a rule of README, "ACL", that begins with start.
func rule(t testing.TB, start string) []string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "ACL SETUSER app "+start)
	words, _, ok2 := strings.Cut(rest, "\n\n")
	if !ok || !ok2 {
		t.Fatalf("README.md has no ACL rule that begins with %q", start)
	}
	return strings.Fields(start + words)
}

// readmeRights returns the rights that people copy, for a prefix.
func readmeRights(t testing.TB, prefix string) []string {
	t.Helper()
	var rights []string
	for _, r := range rule(t, "reset ") {
		rights = append(rights, strings.ReplaceAll(r, "life:", prefix+":"))
	}
	return rights
}

// leastRights returns them without INFO, which README calls optional.
func leastRights(t testing.TB, prefix string) []string {
	t.Helper()
	return slices.DeleteFunc(readmeRights(t, prefix), func(r string) bool { return r == "+info" })
}

// lockedRights returns them without the channels of notifications, which are optional
// as well.
func lockedRights(t testing.TB, prefix string) []string {
	t.Helper()
	return slices.DeleteFunc(leastRights(t, prefix), func(r string) bool { return strings.HasPrefix(r, "&__keyevent@") })
}

// asUser returns a deployment whose apps are a user that has these rights only.
func (d deployment) asUser(t testing.TB, user string, rights []string) deployment {
	t.Helper()
	d.eachMaster(t, func(ctx context.Context, rdb redis.UniversalClient) error {
		return rdb.ACLSetUser(ctx, user, rights...).Err()
	})
	d.at.Username, d.at.Password, d.at.Plain = user, "password", false
	return d
}

// refused returns what Redis has refused a user, with the circumstances.
func (d deployment) refused(t testing.TB, user string) map[string]any {
	t.Helper()
	all := make(map[string]any)
	d.eachMaster(t, func(ctx context.Context, rdb redis.UniversalClient) error {
		entries, err := rdb.Do(ctx, "ACL", "LOG", 1_000_000).Slice()
		for _, e := range entries {
			fields, _ := e.(map[any]any)
			if what, _ := fields["object"].(string); fields["username"] == user {
				all[what] = fields
			}
		}
		return err
	})
	return all
}

// nothingRefused fails if a user was refused anything but what the library and
// go-redis go on without.
func (d deployment) nothingRefused(t testing.TB, user string) {
	t.Helper()
	for what, fields := range d.refused(t, user) {
		switch what {
		case "config|get", "config|set", "info", "client|setinfo", "client|maint_notifications":
		default:
			t.Errorf("refused: %v", fields)
		}
	}
}

// allUsed fails if one of the commands in a rule was never sent.
func (d deployment) allUsed(t testing.TB, rights []string) {
	t.Helper()
	var calls strings.Builder
	d.eachMaster(t, func(ctx context.Context, rdb redis.UniversalClient) error {
		info, err := rdb.Info(ctx, "commandstats").Result()
		calls.WriteString(info)
		return err
	})
	for _, r := range rights {
		if name, ok := strings.CutPrefix(r, "+"); ok && !strings.Contains(calls.String(), "cmdstat_"+name+":") {
			t.Errorf("%s is not needed, or this test does too little", r)
		}
	}
}

// All of the library works with the rights that people copy from README, and without
// those that it calls optional.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rights        func(t testing.TB, prefix string) []string
		notifications bool
	}{
		"all":                            {readmeRights, true},
		"without INFO":                   {leastRights, true},
		"without INFO and notifications": {lockedRights, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, p := onServer(t, startServer(t, "--notify-keyspace-events", "Exeg")), prefix()
			rights := c.rights(t, p)
			if !c.notifications {
				d.opts, d.notifications = []lifecycle.Option{lifecycle.WithNotifications(false)}, lifecycle.NotificationsOff
			}
			liveEveryLife(t, d.asUser(t, "app", rights), p)
			d.allUsed(t, rights)
			d.nothingRefused(t, "app")
		})
	}
}

// What people copy takes from a user what it had before, and gives it nothing of
// others: no setting of the server, which would be its passwords too, and no key.
func TestRightsGiveNothingElse(t *testing.T) {
	t.Parallel()
	d, p := onServer(t, startServer(t)), prefix()
	rights := readmeRights(t, p)
	for _, r := range slices.Concat(rights, rule(t, "+")) {
		name, _ := strings.CutPrefix(r, "+")
		name, _, _ = strings.Cut(name, "|")
		if slices.Contains(slices.Concat(redistest.Forbidden, []string{"config", "acl", "debug", "nopass", "~*", "&*"}), name) ||
			strings.HasPrefix(r, "all") || strings.HasPrefix(r, "+@") {
			t.Errorf("%s gives too much", r)
		}
	}
	ctx := within(t)
	if err := d.admin.ACLSetUser(ctx, "app", "on", "nopass", "+@all", "allkeys", "allchannels").Err(); err != nil {
		t.Fatal(err)
	}
	d.admin.Set(ctx, "another's", "secret", 0)
	user := d.asUser(t, "app", rights)
	app := user.at.dial()
	defer func() { _ = app.Close() }()
	if err := app.Set(ctx, p+":x", "", 0).Err(); err != nil {
		t.Fatalf("its own key: %v", err)
	}
	for what, err := range map[string]error{
		"CONFIG GET requirepass":     app.ConfigGet(ctx, "requirepass").Err(),
		"CONFIG SET maxmemory":       app.ConfigSet(ctx, "maxmemory", "1").Err(),
		"CONFIG SET notifications":   app.ConfigSet(ctx, "notify-keyspace-events", "").Err(),
		"CONFIG REWRITE":             app.ConfigRewrite(ctx).Err(),
		"ACL SETUSER":                app.ACLSetUser(ctx, "app", "+@all").Err(),
		"GET of another's key":       app.Get(ctx, "another's").Err(),
		"the same in a script":       app.Eval(ctx, "return redis.call('GET', KEYS[1])", []string{"another's"}).Err(),
		"PUBLISH to others":          app.Publish(ctx, "another's", "").Err(),
		"FLUSHALL":                   app.FlushAll(ctx).Err(),
		"a script with CONFIG in it": app.Eval(ctx, "return redis.call('CONFIG', 'GET', 'requirepass')", nil).Err(),
	} {
		if err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "The user executing the script can't") &&
			!strings.Contains(err.Error(), "not allowed from script") {
			t.Errorf("%s: %v", what, err)
		}
	}
	user.at.Password = "the old one"
	old := user.at.dial()
	defer func() { _ = old.Close() }()
	if err := old.Ping(ctx).Err(); err == nil {
		t.Error("it goes on without a password")
	}
}

// And on a cluster, with the further ones that README names for it. Each of these is
// missed by a user that lacks it.
func TestLeastRightsOnCluster(t *testing.T) {
	t.Parallel()
	c, p := startCluster(t, "--notify-keyspace-events", "Exeg"), prefix()
	d := onCluster(t, c)
	further := rule(t, "+")
	rights := append(leastRights(t, p), further...)
	liveEveryLife(t, d.asUser(t, "app", rights), p)

	a := newApp(t, d.asUser(t, "app", rights), p)
	id, v := a.begin()
	slot := int(a.admin.ClusterKeySlot(within(t), a.liveKey(id)).Val())
	lacking := func() {
		for _, word := range further {
			name := strings.TrimPrefix(word, "+")
			rest := slices.DeleteFunc(slices.Clone(rights), func(r string) bool { return r == word })
			rdb := d.asUser(t, "no-"+name, rest).client(t, p)
			// Of a slot that is being moved, and gone from where it was.
			rdb.Get(within(t), strings.Replace(a.liveKey(id), "live", "nothing", 1))
			if _, missed := d.refused(t, "no-"+name)[name]; !missed {
				t.Errorf("%s is not needed, or this test does too little", word)
			}
		}
	}
	var once sync.Once
	err := c.MoveSlot(within(t), slot, other(t, c, slot), func() {
		once.Do(lacking)
		if got := a.ok(v, "/"); got != id {
			t.Errorf("the session is %q while its slot moves", got)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.m.Destroy(within(t), id, ""); err != nil {
		t.Error(err)
	}
	if s := a.nextDestroyed(); s.ID != id {
		t.Errorf("ended: %s, want %s", s.ID, id)
	}
	d.nothingRefused(t, "app")
}

// other returns a master that has not got the slot.
func other(t testing.TB, c *redistest.Cluster, slot int) *redistest.Server {
	t.Helper()
	owner := c.MasterOf(within(t), slot)
	for _, m := range c.Masters(within(t)) {
		if m.Addr != owner.Addr {
			return m
		}
	}
	t.Fatal("there is one master only")
	return nil
}

// liveEveryLife has two instances serve sessions, and ends those in every way.
func liveEveryLife(t *testing.T, d deployment, p string) {
	t.Helper()
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
			listens := state == lifecycle.NotificationsRefused || state == lifecycle.NotificationsStandby || state == d.notifications
			return listens && len(d.channels(t, p+":{*}:wake")) > 0
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
	if d.notifications != lifecycle.NotificationsOff {
		id, _ = begin("carol")
		a.del(a.liveKey(id))
		ended(id, lifecycle.ReasonDeleted)
	}
	id, _ = begin("dave")
	a.admin.PExpire(within(t), a.liveKey(id), time.Millisecond)
	if d.notifications == lifecycle.NotificationsOff {
		a.makeAllDue() // its time would come, but nobody tells
	}
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
}
