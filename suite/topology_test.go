package suite_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The tests of this package are one suite, for each topology that the library is for.
// What differs between those is here, and nowhere else.

// topologyEnv says on which topology the shared deployment is.
const topologyEnv = "LIFECYCLE_TOPOLOGY"

const (
	single   = "single"   // one server
	locked   = "locked"   // one server, without CONFIG and notifications, with the rights of README only
	sentinel = "sentinel" // a master, a replica, and sentinels
	cluster  = "cluster"  // masters that share the slots
)

// topology returns the one to run on. It reads the environment each time, so that
// go test knows that a result depends on it.
func topology() string { return cmp.Or(os.Getenv(topologyEnv), single) }

func checkTopology() error {
	if all := []string{single, sentinel, cluster, locked}; !slices.Contains(all, topology()) {
		return fmt.Errorf("%s=%s: want one of %v", topologyEnv, topology(), all)
	}
	return nil
}

// leftBehind are goroutines that go-redis leaves behind. A failover client that is
// closed while it dials chooses a sentinel once more, and listens to it for good.
func leftBehind() []goleak.Option {
	if topology() != sentinel {
		return nil
	}
	const pkg = "github.com/redis/go-redis/v9."
	return []goleak.Option{
		goleak.IgnoreAnyFunction(pkg + "(*sentinelFailover).listen"),
		goleak.IgnoreAnyFunction(pkg + "(*channel).initHealthCheck.func1"),
		goleak.IgnoreAnyFunction(pkg + "(*channel).initMsgChan.func1"),
	}
}

// deployment is a Redis that tests run on.
type deployment struct {
	at     address
	locked bool
	given  redis.UniversalClient // if it is not nil, all apps use it

	// admin is for what a test does behind the library's back.
	admin redis.UniversalClient
	// notifications is what an instance comes to that is the one to listen.
	notifications lifecycle.NotificationState
	// opts are what an app needs to be told.
	opts []lifecycle.Option
}

// address is what a client needs to know of a deployment.
type address struct {
	Addrs              []string
	MasterName         string // with sentinels, whose addresses these are
	Cluster            bool
	Username, Password string
	// Plain leaves out ContextTimeoutEnabled.
	Plain bool
}

// dial returns a client. set may change its options.
func (a address) dial(set ...func(*redis.UniversalOptions)) redis.UniversalClient {
	o := &redis.UniversalOptions{
		Addrs: a.Addrs, MasterName: a.MasterName, IsClusterMode: a.Cluster,
		Username: a.Username, Password: a.Password,
		ContextTimeoutEnabled: !a.Plain,
	}
	for _, f := range set {
		f(o)
	}
	return redis.NewUniversalClient(o)
}

// shared returns the deployment that all tests use, each with its own prefix.
func shared(t testing.TB) deployment {
	t.Helper()
	d := deployment{notifications: lifecycle.NotificationsOn, locked: topology() == locked}
	switch topology() {
	case sentinel:
		d.at = address{Addrs: redistest.SharedSentinels(t).Addrs, MasterName: redistest.SentinelMaster}
	case cluster:
		d.at = address{Addrs: redistest.SharedCluster(t).Addrs(), Cluster: true}
	default:
		d.at = address{Addrs: []string{redistest.Shared(t)}}
	}
	d = d.administered(t)
	if d.locked {
		// As README says for a rule without the channels of notifications.
		d.opts, d.notifications = []lifecycle.Option{lifecycle.WithNotifications(false)}, lifecycle.NotificationsOff
		// Of all that it has refused, not of the latest 128 only.
		if err := d.admin.ConfigSet(within(t), "acllog-max-len", "100000").Err(); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// startServer starts a server of the test's own, to be killed, configured or filled.
func startServer(t testing.TB, args ...string) *redistest.Server {
	t.Helper()
	if topology() != single {
		t.Skipf("about a single server of its own: runs with %s=%s", topologyEnv, single)
	}
	return redistest.Start(t, args...)
}

// onServer is a deployment of one server. Its clients are made the way most are,
// without ContextTimeoutEnabled.
func onServer(t testing.TB, s *redistest.Server) deployment {
	t.Helper()
	d := deployment{at: address{Addrs: []string{s.Addr}, Plain: true}, notifications: lifecycle.NotificationsOn}
	return d.administered(t)
}

// startCluster starts a cluster of the test's own.
func startCluster(t testing.TB, args ...string) *redistest.Cluster {
	t.Helper()
	if topology() != cluster {
		t.Skipf("about a cluster of its own: runs with %s=%s", topologyEnv, cluster)
	}
	return redistest.StartCluster(t, 3, 0, args...)
}

func onCluster(t testing.TB, c *redistest.Cluster) deployment {
	t.Helper()
	d := deployment{at: address{Addrs: c.Addrs(), Cluster: true}, notifications: lifecycle.NotificationsOn}
	return d.administered(t)
}

// onClient is a deployment that all know by one client.
func onClient(rdb redis.UniversalClient) deployment {
	return deployment{given: rdb, admin: rdb, notifications: lifecycle.NotificationsOn}
}

func (d deployment) administered(t testing.TB) deployment {
	d.admin = d.at.dial()
	t.Cleanup(func() { _ = d.admin.Close() })
	return d
}

// needsNotifications is for tests of what Redis has to tell.
func needsNotifications(t testing.TB) {
	t.Helper()
	if topology() == locked {
		t.Skip("about keyspace notifications: a locked Redis has none")
	}
}

// client returns the client of an app. It is closed with the test.
func (d deployment) client(t testing.TB, prefix string, set ...func(*redis.UniversalOptions)) redis.UniversalClient {
	t.Helper()
	if d.given != nil {
		return d.given
	}
	rdb := d.address(t, prefix).dial(set...)
	t.Cleanup(func() { _ = rdb.Close() })
	if c, ok := rdb.(*redis.ClusterClient); ok {
		c.OnNewNode(func(node *redis.Client) { node.AddHook(frugal{t}) }) // what is sent to one server, too
	} else {
		rdb.AddHook(frugal{t})
	}
	return rdb
}

// address returns how an app finds the deployment. On a locked one it gets a user of
// its own, and nothing that it does may be refused.
func (d deployment) address(t testing.TB, prefix string) address {
	t.Helper()
	at := d.at
	if d.locked {
		at = d.asUser(t, prefix, lockedRights(t, prefix)).at
		t.Cleanup(func() { d.nothingRefused(t, prefix) })
	}
	return at
}

// frugal sees to it that an app sends nothing that is forbidden.
type frugal struct{ t testing.TB }

func (frugal) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f frugal) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		f.check(cmd)
		return next(ctx, cmd)
	}
}

func (f frugal) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			f.check(cmd)
		}
		return next(ctx, cmds)
	}
}

func (f frugal) check(cmd redis.Cmder) {
	if slices.Contains(redistest.Forbidden, strings.ToLower(cmd.Name())) {
		f.t.Errorf("sent: %v", cmd.Args())
	}
}

// eachMaster calls f for every server that has keys of its own.
func (d deployment) eachMaster(t testing.TB, f func(context.Context, redis.UniversalClient) error) {
	t.Helper()
	var err error
	switch rdb := d.admin.(type) {
	case *redis.ClusterClient:
		var one sync.Mutex // it calls for all of them at once
		err = rdb.ForEachMaster(within(t), func(ctx context.Context, master *redis.Client) error {
			one.Lock()
			defer one.Unlock()
			return f(ctx, master)
		})
	default:
		err = f(within(t), rdb)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// masters counts the servers that have keys of their own.
func (d deployment) masters(t testing.TB) (n int) {
	t.Helper()
	d.eachMaster(t, func(context.Context, redis.UniversalClient) error { n++; return nil })
	return n
}

// keys returns the keys that match pattern.
func (d deployment) keys(t testing.TB, pattern string) []string {
	t.Helper()
	var all []string
	d.eachMaster(t, func(ctx context.Context, rdb redis.UniversalClient) error {
		keys, err := rdb.Keys(ctx, pattern).Result()
		all = append(all, keys...)
		return err
	})
	return all
}

// channels returns the channels that match pattern and that somebody listens to.
func (d deployment) channels(t testing.TB, pattern string) []string {
	t.Helper()
	all := make(map[string]bool) // a cluster passes messages on: one server of it will do
	d.eachMaster(t, func(ctx context.Context, rdb redis.UniversalClient) error {
		channels, err := rdb.PubSubChannels(ctx, pattern).Result()
		for _, c := range channels {
			all[c] = true
		}
		return err
	})
	return slices.Collect(maps.Keys(all))
}

// connections returns what is known of those of an app whose client has its prefix
// as name, or as user.
func (d deployment) connections(t testing.TB, prefix string) []string {
	t.Helper()
	var all []string
	d.eachMaster(t, func(ctx context.Context, rdb redis.UniversalClient) error {
		list, err := rdb.ClientList(ctx).Result()
		for line := range strings.Lines(list) {
			if strings.Contains(line, " name="+prefix+" ") || strings.Contains(line, " user="+prefix+" ") {
				all = append(all, line)
			}
		}
		return err
	})
	return all
}
