package suite_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/embedded"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The suite runs on each topology. This file has all that differs between topologies.

// topologyEnv is the environment variable that names the topology of shared deployments.
const topologyEnv = "LIFECYCLE_TOPOLOGY"

const (
	single   = "single"   // one server
	locked   = "locked"   // one server, without CONFIG and notifications, with the rights of the ACL rule only
	sentinel = "sentinel" // a master, a replica, and sentinels
	cluster  = "cluster"  // masters that share the slots
)

// topology returns the topology to run on. It reads the environment each time, so that
// go test knows that a result depends on it.
func topology() string { return cmp.Or(os.Getenv(topologyEnv), single) }

func checkTopology() error {
	if all := []string{single, sentinel, cluster, locked}; !slices.Contains(all, topology()) {
		return fmt.Errorf("%s=%s: want one of %v", topologyEnv, topology(), all)
	}
	return nil
}

// leftBehind returns the goroutines that go-redis leaves behind: a failover client that
// is closed while it dials connects to a sentinel once more, and never disconnects.
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
	given  redis.UniversalClient // if it is not nil, all apps use this client

	// admin is the client with which a test reads and changes keys itself.
	admin redis.UniversalClient
	// notifications is the state of an instance that has subscribed to notifications.
	notifications lifecycle.NotificationState
	// opts are the options that every app on this deployment needs.
	opts []lifecycle.Option
}

// address is what a client needs to connect to a deployment.
type address struct {
	Addrs              []string
	MasterName         string // if it is set, Addrs are those of sentinels
	Cluster            bool
	Username, Password string
	Plain              bool // without ContextTimeoutEnabled
}

// dial returns a client. The functions in set may change its options.
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

// shared returns the deployment of the topology. All tests use it, each with its own
// prefix.
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
		// As the ACL rule says: without the channels of notifications, notifications must be off.
		d.opts, d.notifications = []lifecycle.Option{lifecycle.WithNotifications(false)}, lifecycle.NotificationsOff
		// Keep everything that Redis refuses, not only the latest 128 entries.
		if err := d.admin.ConfigSet(redistest.Within(t), "acllog-max-len", "100000").Err(); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// startServer starts a server for one test, which may kill, configure or fill it. On
// other topologies than single it skips the test.
func startServer(t testing.TB, args ...string) *redistest.Server {
	t.Helper()
	if topology() != single {
		t.Skipf("this test needs a server of its own: it runs with %s=%s", topologyEnv, single)
	}
	return redistest.Start(t, args...)
}

// onServer returns a deployment of one server. Its clients are made as most applications
// make them, without ContextTimeoutEnabled.
func onServer(t testing.TB, s *redistest.Server) deployment {
	t.Helper()
	d := deployment{at: address{Addrs: []string{s.Addr}, Plain: true}, notifications: lifecycle.NotificationsOn}
	return d.administered(t)
}

// startCluster starts a cluster for one test. On other topologies than cluster it skips
// the test.
func startCluster(t testing.TB, args ...string) *redistest.Cluster {
	t.Helper()
	if topology() != cluster {
		t.Skipf("this test needs a cluster of its own: it runs with %s=%s", topologyEnv, cluster)
	}
	return redistest.StartCluster(t, 3, 0, args...)
}

func onCluster(t testing.TB, c *redistest.Cluster) deployment {
	t.Helper()
	d := deployment{at: address{Addrs: c.Addrs(), Cluster: true}, notifications: lifecycle.NotificationsOn}
	return d.administered(t)
}

// otherMaster returns a master that does not have the slot.
func otherMaster(t testing.TB, c *redistest.Cluster, slot int) *redistest.Server {
	t.Helper()
	owner := c.MasterOf(redistest.Within(t), slot)
	for _, m := range c.Masters(redistest.Within(t)) {
		if m.Addr != owner.Addr {
			return m
		}
	}
	t.Fatal("there is only one master")
	return nil
}

// onClient returns a deployment that the test and all apps use through the same client.
func onClient(rdb redis.UniversalClient) deployment {
	return deployment{given: rdb, admin: rdb, notifications: lifecycle.NotificationsOn}
}

// inProcess returns a deployment of the Redis of package embedded.
func inProcess(t testing.TB) deployment {
	t.Helper()
	rdb, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return onClient(rdb.Client)
}

func (d deployment) administered(t testing.TB) deployment {
	d.admin = d.at.dial()
	t.Cleanup(func() { _ = d.admin.Close() })
	return d
}

// needsNotifications skips a test of notifications where Redis sends none.
func needsNotifications(t testing.TB) {
	t.Helper()
	if topology() == locked {
		t.Skip("this test needs keyspace notifications: a locked Redis sends none")
	}
}

// client returns the client of an app. It is closed when the test ends.
func (d deployment) client(t testing.TB, prefix string, set ...func(*redis.UniversalOptions)) redis.UniversalClient {
	t.Helper()
	if d.given != nil {
		return d.given
	}
	rdb := d.address(t, prefix).dial(set...)
	t.Cleanup(func() { _ = rdb.Close() })
	if c, ok := rdb.(*redis.ClusterClient); ok {
		c.OnNewNode(func(node *redis.Client) { node.AddHook(frugal(t)) }) // so that commands to a single server are checked too
	} else {
		rdb.AddHook(frugal(t))
	}
	return rdb
}

// address returns the address for an app. On a locked deployment the app gets a user of
// its own, and the test fails if Redis refuses a command of this user.
func (d deployment) address(t testing.TB, prefix string) address {
	t.Helper()
	at := d.at
	if d.locked {
		at = d.asUser(t, prefix, lockedRights(t, prefix)).at
		t.Cleanup(func() { d.nothingRefused(t, prefix) })
	}
	return at
}

// eachMaster calls f for every server that is a master, for one after the other.
func (d deployment) eachMaster(t testing.TB, f func(context.Context, redis.UniversalClient) error) {
	t.Helper()
	if err := redistest.EachMaster(redistest.Within(t), d.admin, f); err != nil {
		t.Fatal(err)
	}
}

// masters returns the number of masters.
func (d deployment) masters(t testing.TB) (n int) {
	t.Helper()
	d.eachMaster(t, func(context.Context, redis.UniversalClient) error { n++; return nil })
	return n
}

// keys returns the keys that match pattern, without those of sessions whose end is finished and
// only remembered for Context.Previous.
func (d deployment) keys(t testing.TB, pattern string) []string {
	t.Helper()
	var all []string
	d.eachMaster(t, func(ctx context.Context, rdb redis.UniversalClient) error {
		keys, err := rdb.Keys(ctx, pattern).Result()
		all = append(all, redistest.ExceptPast(ctx, rdb, keys)...)
		return err
	})
	return all
}

// channels returns the channels that match pattern and have a subscriber.
func (d deployment) channels(t testing.TB, pattern string) []string {
	t.Helper()
	all := make(map[string]bool) // a subscriber may be connected to any server of a cluster
	d.eachMaster(t, func(ctx context.Context, rdb redis.UniversalClient) error {
		channels, err := rdb.PubSubChannels(ctx, pattern).Result()
		for _, c := range channels {
			all[c] = true
		}
		return err
	})
	return slices.Collect(maps.Keys(all))
}

// connections returns the lines of CLIENT LIST for the connections of an app. The app's
// client must have the prefix as its name, or as its user.
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
