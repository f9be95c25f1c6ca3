package redistest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redisproc"
)

// Cluster is a Redis cluster. In Nodes the masters come first, then the replicas of the
// first master, those of the second, and so on. After a failover the roles are others, and
// Nodes does not change.
type Cluster struct {
	Nodes []*Server

	proc *redisproc.Cluster

	migrating sync.Mutex // held while keys move from one master to another
	assigning sync.Mutex // held while the masters learn who has a slot now
}

// StartCluster starts a cluster that ends with the test, and waits until AwaitWell would
// return. That takes two to three seconds. args are passed to each redis-server.
func StartCluster(t testing.TB, masters, replicasEach int, args ...string) *Cluster {
	t.Helper()
	c, err := redisproc.LaunchCluster(t.TempDir(), masters, replicasEach, args...)
	skipOrFail(t, err)
	t.Cleanup(c.Stop)
	return &Cluster{Nodes: wrap(c.Nodes), proc: c}
}

// SharedCluster returns a cluster of three masters without replicas that all tests of the
// process share. Each test must use a prefix of its own, and must not stop a node or move a
// slot. The package's TestMain must call Run.
func SharedCluster(t testing.TB) *Cluster {
	t.Helper()
	c := sharedCluster.get(t, func(dir string) (*redisproc.Cluster, error) {
		return redisproc.LaunchCluster(dir, 3, 0)
	})
	return &Cluster{Nodes: wrap(c.Nodes), proc: c}
}

// Addrs returns the addresses of all nodes.
func (c *Cluster) Addrs() []string { return c.proc.Addrs() }

// Client returns a client of the cluster. It is closed when the test ends. set may change
// the options.
func (c *Cluster) Client(t testing.TB, set ...func(*redis.ClusterOptions)) *redis.ClusterClient {
	t.Helper()
	o := &redis.ClusterOptions{Addrs: c.Addrs(), ContextTimeoutEnabled: true}
	for _, f := range set {
		f(o)
	}
	rdb := redis.NewClusterClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// AwaitWell waits until all nodes answer, all slots are served, every node knows the roles
// of the others, and all replicas are in sync.
func (c *Cluster) AwaitWell(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var ill error
	well := func() bool {
		ill = c.proc.Well(ctx)
		return ill == nil
	}
	if Poll(Patience, well) != nil {
		t.Fatalf("the cluster is not well: %v", ill)
	}
}

// node is what a node says about itself.
type node struct {
	server *Server
	id     string
	master bool
	of     string // the ID of a replica's master
	epoch  int
	slots  []string // such as "7" or "0-5460"
}

// nodes asks each node for its own line of CLUSTER NODES. Nodes that do not answer are left
// out.
func (c *Cluster) nodes(ctx context.Context) []node {
	var nodes []node
	for _, s := range c.Nodes {
		if !s.Running() {
			continue
		}
		rdb := s.dial()
		text, err := rdb.ClusterNodes(ctx).Result()
		_ = rdb.Close()
		if err != nil {
			continue
		}
		for line := range strings.Lines(text) {
			// id addr flags master ping pong epoch link slots...
			f := strings.Fields(line)
			if len(f) < 8 || !strings.Contains(f[2], "myself") {
				continue
			}
			epoch, _ := strconv.Atoi(f[6])
			nodes = append(nodes, node{server: s, id: f[0], master: strings.Contains(f[2], "master"), of: f[3], epoch: epoch, slots: f[8:]})
		}
	}
	return nodes
}

// dial returns a client that sends each command once, and does not wait long for the
// reply.
func (s *Server) dial() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: s.Addr, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true, ReadTimeout: time.Second,
	})
}

// serves reports whether a slot is the node's.
func (n node) serves(slot int) bool {
	return slices.ContainsFunc(n.slots, func(r string) bool {
		from, to, isRange := strings.Cut(r, "-")
		if strings.HasPrefix(r, "[") { // being moved
			return false
		}
		a, _ := strconv.Atoi(from)
		b := a
		if isRange {
			b, _ = strconv.Atoi(to)
		}
		return a <= slot && slot <= b
	})
}

// Masters returns the nodes that say about themselves that they are masters of slots.
func (c *Cluster) Masters(ctx context.Context) []*Server {
	var masters []*Server
	for _, n := range c.nodes(ctx) {
		if n.master && len(n.slots) > 0 {
			masters = append(masters, n.server)
		}
	}
	return masters
}

// owner returns the master of a slot. If two say that they are, it is the one with the
// later epoch.
func owner(nodes []node, slot int) (owner node, ok bool) {
	for _, n := range nodes {
		if n.master && n.serves(slot) && (!ok || n.epoch > owner.epoch) {
			owner, ok = n, true
		}
	}
	return owner, ok
}

// MasterOf returns the master that serves a slot, nil if none does.
func (c *Cluster) MasterOf(ctx context.Context, slot int) *Server {
	n, ok := owner(c.nodes(ctx), slot)
	if !ok {
		return nil
	}
	return n.server
}

// ReplicasOf returns the replicas that follow a master.
func (c *Cluster) ReplicasOf(ctx context.Context, master *Server) []*Server {
	nodes := c.nodes(ctx)
	id := ""
	for _, n := range nodes {
		if n.server.Addr == master.Addr {
			id = n.id
		}
	}
	var replicas []*Server
	for _, n := range nodes {
		if !n.master && n.of == id {
			replicas = append(replicas, n.server)
		}
	}
	return replicas
}

// moveBatch is how many keys are moved at a time.
const moveBatch = 10

// MoveSlot moves a slot and its keys to another master, as a resharding does. It calls
// between, unless that is nil, before the first keys move and after each batch: the slot is
// half-moved then. Several slots may be moved at the same time.
func (c *Cluster) MoveSlot(ctx context.Context, slot int, to *Server, between func()) error {
	nodes := c.nodes(ctx)
	source, ok := owner(nodes, slot)
	i := slices.IndexFunc(nodes, func(n node) bool { return n.server.Addr == to.Addr && n.master })
	if !ok || i < 0 {
		return fmt.Errorf("redistest: slot %d has no master, or %s is none", slot, to.Addr)
	}
	target := nodes[i]
	if target.id == source.id {
		return nil
	}
	if between == nil {
		between = func() {}
	}
	from, into := source.server.dial(), target.server.dial()
	defer func() { _, _ = from.Close(), into.Close() }()
	if err := into.Do(ctx, "cluster", "setslot", slot, "importing", source.id).Err(); err != nil {
		return err
	}
	if err := from.Do(ctx, "cluster", "setslot", slot, "migrating", target.id).Err(); err != nil {
		return err
	}
	between()
	if err := c.moveKeys(ctx, from, slot, to, between); err != nil {
		return err
	}
	return c.assign(ctx, slot, nodes, source, target)
}

// assign tells all masters who has a slot now. It does so for one slot at a time. Otherwise
// the source could get another slot meanwhile and raise its epoch with that, before it
// knows that this slot is gone: it would take this slot back, and in the end neither of the
// two would serve it.
func (c *Cluster) assign(ctx context.Context, slot int, nodes []node, source, target node) error {
	c.assigning.Lock()
	defer c.assigning.Unlock()
	from, into := source.server.dial(), target.server.dial()
	defer func() { _, _ = from.Close(), into.Close() }()
	// The target first, which raises its epoch. The source would otherwise send clients to
	// a master that does not serve the slot yet.
	if err := into.Do(ctx, "cluster", "setslot", slot, "node", target.id).Err(); err != nil {
		return err
	}
	if err := from.Do(ctx, "cluster", "setslot", slot, "node", target.id).Err(); err != nil {
		return err
	}
	for _, n := range nodes {
		if n.master && n.id != source.id && n.id != target.id {
			rdb := n.server.dial()
			err := rdb.Do(ctx, "cluster", "setslot", slot, "node", target.id).Err()
			_ = rdb.Close()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// moveKeys moves all keys of a slot, in batches.
func (c *Cluster) moveKeys(ctx context.Context, from *redis.Client, slot int, to *Server, between func()) error {
	host, port, _ := strings.Cut(to.Addr, ":")
	for {
		keys, err := from.ClusterGetKeysInSlot(ctx, slot, moveBatch).Result()
		if err != nil || len(keys) == 0 {
			return err
		}
		args := []any{"migrate", host, port, "", 0, 5000, "keys"}
		for _, k := range keys {
			args = append(args, k)
		}
		// MIGRATE blocks both masters. Two that send keys to each other would wait for each
		// other.
		c.migrating.Lock()
		err = from.Do(ctx, args...).Err() // keys that are gone by now are no error: the reply is NOKEY
		c.migrating.Unlock()
		if err != nil {
			return err
		}
		between()
	}
}
