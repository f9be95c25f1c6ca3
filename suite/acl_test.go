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

// ruleFile is the document that has the ACL rules. The tests read them from there, so
// that they test what people copy.
const ruleFile = "../docs/deployment.md"

// rule returns the words of the ACL rule that begins with start.
func rule(t testing.TB, start string) []string {
	t.Helper()
	text, err := os.ReadFile(ruleFile)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "ACL SETUSER app "+start)
	words, _, ok2 := strings.Cut(rest, "\n\n")
	if !ok || !ok2 {
		t.Fatalf("%s has no ACL rule that begins with %q", ruleFile, start)
	}
	return strings.Fields(start + words)
}

// allRights returns the rights of the rule, for a prefix.
func allRights(t testing.TB, prefix string) []string {
	t.Helper()
	var rights []string
	for _, r := range rule(t, "reset ") {
		rights = append(rights, strings.ReplaceAll(r, "life:", prefix+":"))
	}
	return rights
}

// leastRights returns the rights without INFO, which is optional.
func leastRights(t testing.TB, prefix string) []string {
	t.Helper()
	return slices.DeleteFunc(allRights(t, prefix), func(r string) bool { return r == "+info" })
}

// lockedRights returns the rights without INFO and without the channels of
// notifications, which are optional as well.
func lockedRights(t testing.TB, prefix string) []string {
	t.Helper()
	return slices.DeleteFunc(leastRights(t, prefix), func(r string) bool { return strings.HasPrefix(r, "&__keyevent@") })
}

// asUser returns a deployment whose apps connect as a user that has only these rights.
func (d deployment) asUser(t testing.TB, user string, rights []string) deployment {
	t.Helper()
	d.eachMaster(t, func(ctx context.Context, rdb redis.UniversalClient) error {
		return rdb.ACLSetUser(ctx, user, rights...).Err()
	})
	d.at.Username, d.at.Password, d.at.Plain = user, "password", false
	return d
}

// refused returns the entries of ACL LOG for a user, by the command that was refused.
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

// nothingRefused fails the test if Redis refused a command to a user, except for the
// commands that the library and go-redis do not need.
func (d deployment) nothingRefused(t testing.TB, user string) {
	t.Helper()
	for what, fields := range d.refused(t, user) {
		switch what {
		case "config|get", "config|set", "info", "client|setinfo", "client|maint_notifications":
		default:
			t.Errorf("Redis refused: %v", fields)
		}
	}
}

// allUsed fails the test if one of the commands in a rule was never sent.
func (d deployment) allUsed(t testing.TB, rights []string) {
	t.Helper()
	for _, r := range rights {
		if name, ok := strings.CutPrefix(r, "+"); ok && !d.used(t, name) {
			t.Errorf("%s was not used: it is not needed, or this test does too little", r)
		}
	}
}

// used reports whether a client has sent a command since the servers were started.
func (d deployment) used(t testing.TB, command string) bool {
	t.Helper()
	var calls strings.Builder
	d.eachMaster(t, func(ctx context.Context, rdb redis.UniversalClient) error {
		info, err := rdb.Info(ctx, "commandstats").Result()
		calls.WriteString(info)
		return err
	})
	return strings.Contains(calls.String(), "cmdstat_"+command+":")
}

// The whole library works with the rights of the rule, and without its optional rights.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rights        func(t testing.TB, prefix string) []string
		notifications bool
	}{
		"all":                            {allRights, true},
		"without INFO":                   {leastRights, true},
		"without INFO and notifications": {lockedRights, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, p := onServer(t, startServer(t, "--notify-keyspace-events", "Exeg")), redistest.Prefix()
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

// The rule takes away the rights that the user had before, and gives no right over what
// belongs to others: no key, and no setting of the server, which would include passwords.
func TestRightsGiveNothingElse(t *testing.T) {
	t.Parallel()
	d, p := onServer(t, startServer(t)), redistest.Prefix()
	rights := allRights(t, p)
	for _, r := range slices.Concat(rights, rule(t, "+")) {
		name, _ := strings.CutPrefix(r, "+")
		name, _, _ = strings.Cut(name, "|")
		if slices.Contains(slices.Concat(redistest.Forbidden, []string{"config", "acl", "debug", "nopass", "~*", "&*"}), name) ||
			strings.HasPrefix(r, "all") || strings.HasPrefix(r, "+@") {
			t.Errorf("%s gives too many rights", r)
		}
	}
	ctx := redistest.Within(t)
	if err := d.admin.ACLSetUser(ctx, "app", "on", "nopass", "+@all", "allkeys", "allchannels").Err(); err != nil {
		t.Fatal(err)
	}
	d.admin.Set(ctx, "another's", "secret", 0)
	user := d.asUser(t, "app", rights)
	app := user.at.dial()
	defer func() { _ = app.Close() }()
	if err := app.Set(ctx, p+":x", "", 0).Err(); err != nil {
		t.Fatalf("SET of the application's own key: %v", err)
	}
	for what, err := range map[string]error{
		"CONFIG GET requirepass":     app.ConfigGet(ctx, "requirepass").Err(),
		"CONFIG SET maxmemory":       app.ConfigSet(ctx, "maxmemory", "1").Err(),
		"CONFIG SET notifications":   app.ConfigSet(ctx, "notify-keyspace-events", "").Err(),
		"CONFIG REWRITE":             app.ConfigRewrite(ctx).Err(),
		"ACL SETUSER":                app.ACLSetUser(ctx, "app", "+@all").Err(),
		"GET of another's key":       app.Get(ctx, "another's").Err(),
		"a script with this GET":     app.Eval(ctx, "return redis.call('GET', KEYS[1])", []string{"another's"}).Err(),
		"PUBLISH to others":          app.Publish(ctx, "another's", "").Err(),
		"FLUSHALL":                   app.FlushAll(ctx).Err(),
		"a script with CONFIG in it": app.Eval(ctx, "return redis.call('CONFIG', 'GET', 'requirepass')", nil).Err(),
	} {
		if err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "The user executing the script can't") &&
			!strings.Contains(err.Error(), "not allowed from script") {
			t.Errorf("%s: %v, want a refusal", what, err)
		}
	}
	user.at.Password = "the old one"
	old := user.at.dial()
	defer func() { _ = old.Close() }()
	if err := old.Ping(ctx).Err(); err == nil {
		t.Error("the user can still connect without a password")
	}
}

// On a cluster the library works with the further rights that the document names for
// clusters. Redis refuses a command to a user that lacks one of them.
func TestLeastRightsOnCluster(t *testing.T) {
	t.Parallel()
	c, p := startCluster(t, "--notify-keyspace-events", "Exeg"), redistest.Prefix()
	d := onCluster(t, c)
	further := rule(t, "+")
	rights := append(leastRights(t, p), further...)
	liveEveryLife(t, d.asUser(t, "app", rights), p)

	a := newApp(t, d.asUser(t, "app", rights), p)
	id, v := a.begin()
	slot := int(a.admin.ClusterKeySlot(redistest.Within(t), a.liveKey(id)).Val())
	lacking := func() {
		for _, word := range further {
			name := strings.TrimPrefix(word, "+")
			rest := slices.DeleteFunc(slices.Clone(rights), func(r string) bool { return r == word })
			rdb := d.asUser(t, "no-"+name, rest).client(t, p)
			// The slot of this key is being moved, and the key is not where the slot was.
			rdb.Get(redistest.Within(t), strings.Replace(a.liveKey(id), "live", "nothing", 1))
			if _, refused := d.refused(t, "no-"+name)[name]; !refused {
				t.Errorf("%s was not used: it is not needed, or this test does too little", word)
			}
		}
	}
	var once sync.Once
	err := c.MoveSlot(redistest.Within(t), slot, otherMaster(t, c, slot), func() {
		once.Do(lacking)
		if got := a.ok(v, "/"); got != id {
			t.Errorf("session %q while its slot moves, want %s", got, id)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	a.end(id, "")
	if s := a.nextDestroyed(); s.ID != id {
		t.Errorf("ended: %s, want %s", s.ID, id)
	}
	d.nothingRefused(t, "app")
}

// liveEveryLife lets sessions begin on two instances, and ends them in every way.
func liveEveryLife(t *testing.T, d deployment, p string) {
	t.Helper()
	l := startLives(t, d, p)
	l.revoke()
	l.logOut()
	l.endInRedis()
	l.bury()

	_, v := l.begin("eve")
	l.a.ok(v, "/hold")
	l.a.shutdown()
	l.b.shutdown()
	if r := redistest.Receive(t, l.held); r != lifecycle.ReasonShutdown {
		t.Errorf("closure: reason %s, want %s", r, lifecycle.ReasonShutdown)
	}
}

// lives are two instances. The sessions of a are ended in every way.
type lives struct {
	t    *testing.T
	a, b *app
	held chan lifecycle.Reason // what the hook of /hold was called with
}

func startLives(t *testing.T, d deployment, p string) *lives {
	t.Helper()
	opts := []lifecycle.Option{lifecycle.WithRetry(2, time.Millisecond, time.Millisecond)}
	a, b := newAppWithoutHooks(t, d, p, opts...), newAppWithoutHooks(t, d, p, opts...)
	for _, x := range []*app{a, b} {
		x.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
			if s.Get("user") == "mallory" {
				return context.Canceled // the library tries it again, then gives it up
			}
			a.destroyed <- s
			return nil
		})
		x.start()
		// The first instance must have a subscription that it can end when the second one starts.
		redistest.Eventually(t, "the instance has subscribed", func() bool {
			state := x.m.Stats().Notifications
			subscribed := state == lifecycle.NotificationsRefused || state == lifecycle.NotificationsStandby || state == d.notifications
			return subscribed && len(d.channels(t, p+":{*}:wake")) > 0
		})
	}
	redistest.Eventually(t, "the first instance has given up some buckets, and their channels", func() bool {
		return d.used(t, "unsubscribe")
	})
	l := &lives{t, a, b, make(chan lifecycle.Reason, 10)}
	a.hold(func(_ context.Context, s *lifecycle.Session) error {
		l.held <- s.Reason
		return nil
	})
	return l
}

func (l *lives) begin(user string) (string, *visitor) {
	l.t.Helper()
	id, v := l.a.begin()
	l.a.ok(v, "/set?user="+user)
	l.a.ok(v, "/rotate")
	return id, v
}

func (l *lives) ended(id string, reason lifecycle.Reason) {
	l.t.Helper()
	if s := l.a.nextDestroyed(); s.ID != id || s.Reason != reason {
		l.t.Errorf("ended: %s, %s; want %s, %s", s.ID, s.Reason, id, reason)
	}
}

// revoke ends a session from the other instance, after all queries.
func (l *lives) revoke() {
	l.t.Helper()
	id, v := l.begin("alice")
	l.a.ok(v, "/hold")
	if s, err := l.b.m.Get(redistest.Within(l.t), id); err != nil || s.Get("user") != "alice" {
		l.t.Errorf("get: %v, %v", s, err)
	}
	if n, err := l.b.m.Count(redistest.Within(l.t)); n != 1 || err != nil {
		l.t.Errorf("count: %d, %v", n, err)
	}
	for s, err := range l.b.m.All(redistest.Within(l.t)) {
		if err != nil || s.ID != id {
			l.t.Errorf("all: %v, %v", s, err)
		}
	}
	l.b.end(id, "banned")
	l.ended(id, "banned")
	if r := redistest.Receive(l.t, l.held); r != "banned" {
		l.t.Errorf("closure: reason %s, want banned", r)
	}
}

func (l *lives) logOut() {
	l.t.Helper()
	id, v := l.begin("bob")
	l.a.ok(v, "/destroy")
	l.ended(id, lifecycle.ReasonDestroyed)
}

// endInRedis ends sessions without the library: another user of Redis deletes a key, or
// a key expires early. No instance gets a message about these ends.
func (l *lives) endInRedis() {
	l.t.Helper()
	if l.a.on.notifications != lifecycle.NotificationsOff {
		id, _ := l.begin("carol")
		l.a.del(l.a.liveKey(id))
		l.ended(id, lifecycle.ReasonDeleted)
	}
	id, _ := l.begin("dave")
	l.a.admin.PExpire(redistest.Within(l.t), l.a.liveKey(id), time.Millisecond)
	if l.a.on.notifications == lifecycle.NotificationsOff {
		l.a.makeAllDue() // otherwise the instance would find the end only at the session's deadline
	}
	l.ended(id, lifecycle.ReasonIdleTimeout)
}

// bury ends a session whose hook always fails.
func (l *lives) bury() {
	l.t.Helper()
	_, v := l.begin("mallory")
	l.a.ok(v, "/destroy")
	redistest.Eventually(l.t, "the end is dead", func() bool { return l.a.m.Stats().Buried+l.b.m.Stats().Buried == 1 })
}
