package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redisproc"
)

// SentinelMaster is what the sentinels call their master.
const SentinelMaster = redisproc.SentinelMaster

// Sentinels is a master, its replicas, and the sentinels that watch them. After a
// failover another server is the master.
type Sentinels struct {
	Master   *Server
	Replicas []*Server
	Addrs    []string // of the sentinels
}

// StartSentinel starts a master with replicas, which are in sync, and sentinels that
// know all of them. They end with the test. args are those of the servers.
func StartSentinel(t testing.TB, replicas, sentinels int, args ...string) *Sentinels {
	t.Helper()
	s, err := redisproc.LaunchSentinels(t.TempDir(), replicas, sentinels, args...)
	need(t, err)
	t.Cleanup(s.Stop)
	return wrapSentinels(s)
}

// SharedSentinels returns a master with one replica and three sentinels that all
// tests of the process use, each with its own prefix. Run must wrap them. Nobody may
// end or promote any of them.
func SharedSentinels(t testing.TB) *Sentinels {
	t.Helper()
	return wrapSentinels(sharedSentinels.get(t, func(dir string) (*redisproc.Sentinels, error) {
		return redisproc.LaunchSentinels(dir, 1, 3)
	}))
}

func wrapSentinels(s *redisproc.Sentinels) *Sentinels {
	return &Sentinels{Master: &Server{s.Master}, Replicas: wrap(s.Replicas), Addrs: s.Addrs()}
}

// Client returns a client that follows the master and is closed with the test. set
// may change the options.
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

// StartSentinels starts n sentinels that watch the server at master, under the name
// SentinelMaster, and waits until each knows of the others and of the replicas. It
// returns their addresses. They end with the test.
func StartSentinels(t testing.TB, n, replicas int, master string) []string {
	t.Helper()
	sentinels, err := redisproc.Watch(t.TempDir(), n, replicas, master)
	need(t, err)
	var addrs []string
	for _, s := range sentinels {
		t.Cleanup(s.Stop)
		addrs = append(addrs, s.Addr)
	}
	return addrs
}
