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

// Cluster is a Redis cluster. At first the masters come first in Nodes, then the
// replicas of the first, of the second, and so on.
type Cluster struct {
	Nodes []*Server

	proc *redisproc.Cluster

	migrating sync.Mutex
	assigning sync.Mutex
}

// StartCluster starts a cluster that ends with the test, and waits until all of it is
// well. It takes two to three seconds. args are those of each redis-server.
func StartCluster(t testing.TB, masters, replicasEach int, args ...string) *Cluster {
	t.Helper()
	c, err := redisproc.LaunchCluster(t.TempDir(), masters, replicasEach, args...)
	need(t, err)
	t.Cleanup(c.Stop)
	return &Cluster{Nodes: wrap(c.Nodes), proc: c}
}

// SharedCluster returns a cluster of three masters without replicas that all tests
// of the process use, each with its own prefix. Run must wrap them. Nobody may end
// a node or move a slot.
func SharedCluster(t testing.TB) *Cluster {
	t.Helper()
	c := sharedCluster.get(t, func(dir string) (*redisproc.Cluster, error) {
		return redisproc.LaunchCluster(dir, 3, 0)
	})
	return &Cluster{Nodes: wrap(c.Nodes), proc: c}
}

// Addrs returns the addresses of all nodes.
func (c *Cluster) Addrs() []string { return c.proc.Addrs() }

// Client returns a client of the cluster that is closed with the test. set may change
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

// AwaitWell waits until all nodes are there, serve all slots, know each other's roles,
// and all replicas are in sync.
func (c *Cluster) AwaitWell(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.proc.Well(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

// node is what a node says of itself.
type node struct {
	server *Server
	id     string
	master bool
	of     string // a replica's master
	epoch  int
	slots  []string // "7", "0-5460"
}

// nodes asks each node for its own line of CLUSTER NODES. Those that do not answer
// are left out.
func (c *Cluster) nodes(ctx context.Context) []node {
	var nodes []node
	for _, s := range c.Nodes {
		if !s.Running() {
			continue
		}
		rdb := s.once()
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

// once returns a client that asks once, and does not wait for long.
func (s *Server) once() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: s.Addr, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true, ReadTimeout: time.Second,
	})
}

func (n node) serves(slot int) bool {
	return slices.ContainsFunc(n.slots, func(r string) bool {
		from, to, isRange := strings.Cut(r, "-")
		if strings.HasPrefix(r, "[") { // half-moved
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

// Masters returns the nodes that say they are masters of slots.
func (c *Cluster) Masters(ctx context.Context) []*Server {
	var masters []*Server
	for _, n := range c.nodes(ctx) {
		if n.master && len(n.slots) > 0 {
			masters = append(masters, n.server)
		}
	}
	return masters
}

// owner returns the master of a slot. If two claim it, that of the later epoch is.
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

// MoveSlot moves a slot and its keys to another master, as a resharding does. Between
// its steps it calls between, if that is not nil: the slot is half-moved then. Several
// slots may be moved at a time.
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
	from, into := source.server.once(), target.server.once()
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

// assign tells the masters whose a slot is now, one slot at a time: a source that took
// another slot meanwhile, and raised its epoch by that before it was told, would claim
// this one back, and in the end neither would serve it.
func (c *Cluster) assign(ctx context.Context, slot int, nodes []node, source, target node) error {
	c.assigning.Lock()
	defer c.assigning.Unlock()
	from, into := source.server.once(), target.server.once()
	defer func() { _, _ = from.Close(), into.Close() }()
	// The target first: it raises its epoch, and the source would else ask it for
	// keys of a slot that it does not serve.
	if err := into.Do(ctx, "cluster", "setslot", slot, "node", target.id).Err(); err != nil {
		return err
	}
	if err := from.Do(ctx, "cluster", "setslot", slot, "node", target.id).Err(); err != nil {
		return err
	}
	for _, n := range nodes {
		if n.master && n.id != source.id && n.id != target.id {
			rdb := n.server.once()
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
		// It blocks both masters: two that migrate to each other would wait for each other.
		c.migrating.Lock()
		err = from.Do(ctx, args...).Err() // NOKEY, that they are gone since, is none
		c.migrating.Unlock()
		if err != nil {
			return err
		}
		between()
	}
}
