package redistest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A slot that is moved keeps its keys, its old master sends clients to the new one, and
// while it is half-moved both masters have some of the keys.
func TestClusterMovesSlots(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := StartCluster(t, 3, 0)
	rdb := c.Client(t)
	slot := int(rdb.ClusterKeySlot(ctx, "{tag}").Val())
	for i := range 25 {
		if err := rdb.Set(ctx, fmt.Sprintf("{tag}:%d", i), i, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
	}
	from := c.MasterOf(ctx, slot)
	to := c.Masters(ctx)[0]
	if to == from {
		to = c.Masters(ctx)[1]
	}
	var half []int64
	count := func(s *Server) int64 {
		n, err := Client(t, s.Addr).ClusterCountKeysInSlot(ctx, slot).Result()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := c.MoveSlot(ctx, slot, to, func() { half = append(half, count(to)) }); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(half); got != "[0 10 20 25]" {
		t.Errorf("keys that had moved after each step: %s, want [0 10 20 25]", got)
	}
	if now := c.MasterOf(ctx, slot); now != to || count(from) != 0 {
		t.Errorf("slot %d: the master is %v, want %s; the old one has %d keys, want none", slot, now, to.Addr, count(from))
	}
	for i := range 25 {
		if got, err := rdb.Get(ctx, fmt.Sprintf("{tag}:%d", i)).Int(); got != i || err != nil {
			t.Errorf("key %d: %d, %v, want %d", i, got, err, i)
		}
	}
	if ttl := rdb.TTL(ctx, "{tag}:0").Val(); ttl <= 0 {
		t.Errorf("time to live of a moved key: %v, want that it is kept", ttl)
	}
}

// A master that was killed is replaced by its replica. When it comes back it is a replica.
func TestClusterReplacesAMaster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := StartCluster(t, 3, 1)
	// The default is a minute: so long a client would go on dialing the killed master.
	rdb := c.Client(t, func(o *redis.ClusterOptions) { o.ClusterStateReloadInterval = 100 * time.Millisecond })
	if err := rdb.Set(ctx, "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	slot := int(rdb.ClusterKeySlot(ctx, "key").Val())
	old := c.MasterOf(ctx, slot)
	replicas := c.ReplicasOf(ctx, old)
	if len(replicas) != 1 {
		t.Fatalf("the master has %d replicas, want one", len(replicas))
	}
	follower := Client(t, replicas[0].Addr)
	Eventually(t, "the replica has the key", func() bool { return follower.DBSize(ctx).Val() == 1 })
	old.Kill()
	Eventually(t, "the replica is master", func() bool { return c.MasterOf(ctx, slot) == replicas[0] })
	Eventually(t, "the key is served", func() bool { return rdb.Get(ctx, "key").Val() == "value" })
	old.Restart(t)
	c.AwaitWell(t)
	if now := c.ReplicasOf(ctx, replicas[0]); len(now) != 1 || now[0] != old {
		t.Errorf("the old master is not the replica of the new one")
	}
}

// All tests get the same shared cluster.
func TestSharedClusterIsOne(t *testing.T) {
	t.Parallel()
	a, b := SharedCluster(t), SharedCluster(t)
	if fmt.Sprint(a.Addrs()) != fmt.Sprint(b.Addrs()) {
		t.Errorf("two shared clusters: %v and %v", a.Addrs(), b.Addrs())
	}
	if err := a.Client(t).Set(t.Context(), t.Name(), 1, time.Minute).Err(); err != nil {
		t.Error(err)
	}
}

// The sentinels replace a master that was killed.
func TestSentinelsReplaceAMaster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := StartSentinel(t, 1, 3)
	rdb := s.Client(t)
	if err := rdb.Set(ctx, "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	replica := Client(t, s.Replicas[0].Addr)
	Eventually(t, "the replica has the key", func() bool { return replica.DBSize(ctx).Val() == 1 })
	s.Master.Kill()
	Eventually(t, "the key is served", func() bool {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return rdb.Get(ctx, "key").Val() == "value"
	})
}

// All tests get the same shared sentinels.
func TestSharedSentinelsAreOne(t *testing.T) {
	t.Parallel()
	a, b := SharedSentinels(t), SharedSentinels(t)
	if a.Master.Addr != b.Master.Addr {
		t.Errorf("two shared masters: %s and %s", a.Master.Addr, b.Master.Addr)
	}
	sentinel := redis.NewSentinelClient(&redis.Options{Addr: a.Addrs[0]})
	defer func() { _ = sentinel.Close() }()
	if m, err := sentinel.Master(t.Context(), SentinelMaster).Result(); err != nil || m["num-slaves"] != "1" {
		t.Errorf("what a sentinel reports about the master: %v, %v; want one replica", m, err)
	}
}
