package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redisproc"
)

// SentinelMaster is the name that the sentinels have for their master.
const SentinelMaster = redisproc.SentinelMaster

// Sentinels is a master, its replicas, and the sentinels that watch them. After a failover
// another server is the master, and the fields do not change.
type Sentinels struct {
	Master   *Server
	Replicas []*Server
	Addrs    []string // of the sentinels
}

// StartSentinel starts a master, its replicas and sentinels, and waits until the replicas
// are in sync and the sentinels know all servers. All of them end with the test. args are
// passed to each redis-server.
func StartSentinel(t testing.TB, replicas, sentinels int, args ...string) *Sentinels {
	t.Helper()
	s, err := redisproc.LaunchSentinels(t.TempDir(), replicas, sentinels, args...)
	skipOrFail(t, err)
	t.Cleanup(s.Stop)
	return wrapSentinels(s)
}

// SharedSentinels returns a master with one replica and three sentinels that all tests of
// the process share. Each test must use a prefix of its own, and must not stop or promote
// any of the servers. The package's TestMain must call Run.
func SharedSentinels(t testing.TB) *Sentinels {
	t.Helper()
	return wrapSentinels(sharedSentinels.get(t, func(dir string) (*redisproc.Sentinels, error) {
		return redisproc.LaunchSentinels(dir, 1, 3)
	}))
}

func wrapSentinels(s *redisproc.Sentinels) *Sentinels {
	return &Sentinels{Master: &Server{s.Master}, Replicas: wrap(s.Replicas), Addrs: s.Addrs()}
}

// Client returns a client that follows the master. It is closed when the test ends. set may
// change the options.
func (s *Sentinels) Client(t testing.TB, set ...func(*redis.FailoverOptions)) *redis.Client {
	t.Helper()
	o := &redis.FailoverOptions{MasterName: SentinelMaster, SentinelAddrs: s.Addrs, ContextTimeoutEnabled: true}
	for _, f := range set {
		f(o)
	}
	c := redis.NewFailoverClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// StartSentinels starts n sentinels that watch a master and its replicas, which the test has
// started. master is the address, and replicas the number. It waits until each sentinel
// knows the others and all replicas, and returns the addresses of the sentinels. They end
// with the test.
func StartSentinels(t testing.TB, n, replicas int, master string) []string {
	t.Helper()
	sentinels, err := redisproc.Watch(t.TempDir(), n, replicas, master)
	skipOrFail(t, err)
	var addrs []string
	for _, s := range sentinels {
		t.Cleanup(s.Stop)
		addrs = append(addrs, s.Addr)
	}
	return addrs
}
