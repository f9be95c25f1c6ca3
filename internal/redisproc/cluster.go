package redisproc

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Slots is the number of a cluster's slots.
const Slots = 16384

// Cluster is a Redis cluster. In Nodes the masters come first, then the replicas of the
// first master, those of the second, and so on. After a failover the roles are others, and
// Nodes does not change.
type Cluster struct {
	Nodes []*Server

	masters int
	bus     map[*Server]string // the port through which each node talks to the others
}

// LaunchCluster starts a cluster, and waits until Well returns nil. Its files are below dir.
// args are passed to each redis-server. It takes Redis two seconds at least.
func LaunchCluster(dir string, masters, replicasEach int, args ...string) (*Cluster, error) {
	c := &Cluster{masters: masters, bus: make(map[*Server]string)}
	for i := range masters * (1 + replicasEach) {
		if err := c.launchNode(dir, i, args); err != nil {
			c.Stop()
			return nil, err
		}
	}
	if err := c.join(); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

// launchNode starts node number i, which knows no other yet.
func (c *Cluster) launchNode(dir string, i int, args []string) error {
	bus := 0
	s, err := launchWithin(dir, fmt.Sprintf("node-%d", i), func() (more []string, err error) {
		bus, err = FreePort()
		return append([]string{
			"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus),
			"--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1500",
			"--cluster-allow-replica-migration", "no", "--repl-diskless-sync-delay", "0",
		}, args...), err
	})
	if err != nil {
		return err
	}
	c.Nodes = append(c.Nodes, s)
	c.bus[s] = strconv.Itoa(bus)
	return nil
}

// join makes the nodes one cluster.
func (c *Cluster) join() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	clients := make([]*redis.Client, len(c.Nodes))
	for i, s := range c.Nodes {
		clients[i] = s.dial()
		defer func() { _ = clients[i].Close() }()
	}
	for i, rdb := range clients {
		// Each gets an epoch of its own. Masters with the same epoch would have to agree first
		// which of them raises it.
		if err := rdb.Do(ctx, "cluster", "set-config-epoch", i+1).Err(); err != nil {
			return err
		}
		if i < c.masters {
			from, to := i*Slots/c.masters, (i+1)*Slots/c.masters-1
			if err := rdb.ClusterAddSlotsRange(ctx, from, to).Err(); err != nil {
				return err
			}
		}
		for _, other := range c.Nodes[:i] { // every pair, as it would take long until the nodes heard of each other
			host, port := other.hostPort()
			if err := rdb.Do(ctx, "cluster", "meet", host, port, c.bus[other]).Err(); err != nil {
				return err
			}
		}
	}
	if err := await("the nodes know each other", c.acquainted); err != nil {
		return err
	}
	for i, rdb := range clients[c.masters:] {
		id, err := clients[i/(len(c.Nodes)/c.masters-1)].Do(ctx, "cluster", "myid").Text()
		if err != nil {
			return err
		}
		if err := rdb.ClusterReplicate(ctx, id).Err(); err != nil {
			return err
		}
	}
	return await("the cluster is well", c.Well)
}

// acquainted returns an error until every node knows all others.
func (c *Cluster) acquainted(ctx context.Context) error {
	for _, s := range c.Nodes {
		text, err := s.ask(ctx, "cluster", "nodes")
		if err != nil {
			return err
		}
		if strings.Count(text, "\n") != len(c.Nodes) || strings.Contains(text, "handshake") {
			return fmt.Errorf("%s knows:\n%s", s.Addr, text)
		}
	}
	return nil
}

// Well returns an error unless all nodes answer, all slots are served, every node knows the
// roles of the others, and all replicas are in sync.
func (c *Cluster) Well(ctx context.Context) error {
	if err := c.acquainted(ctx); err != nil {
		return err
	}
	for _, s := range c.Nodes {
		state, err := s.ask(ctx, "cluster", "info")
		if err != nil {
			return err
		}
		nodes, err := s.ask(ctx, "cluster", "nodes")
		if err != nil {
			return err
		}
		replicas, failing, itself := 0, false, false
		for line := range strings.Lines(nodes) {
			flags := strings.Split(strings.Fields(line)[2], ",")
			if slices.Contains(flags, "slave") {
				replicas++
				itself = itself || flags[0] == "myself"
			}
			failing = failing || slices.Contains(flags, "fail") || slices.Contains(flags, "fail?")
		}
		if !strings.Contains(state, "cluster_state:ok") || failing || replicas != len(c.Nodes)-c.masters {
			return fmt.Errorf("%s says:\n%s%s", s.Addr, state, nodes)
		}
		if itself {
			if err := s.inSync(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask sends a command whose reply is a text, and returns the text.
func (s *Server) ask(ctx context.Context, args ...any) (string, error) {
	c := s.dial()
	defer func() { _ = c.Close() }()
	return c.Do(ctx, args...).Text()
}

// Addrs returns the addresses of all nodes.
func (c *Cluster) Addrs() []string { return addrs(c.Nodes) }

// Stop ends all nodes.
func (c *Cluster) Stop() { stop(c.Nodes) }
