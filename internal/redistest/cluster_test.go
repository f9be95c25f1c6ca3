package redistest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A moved slot keeps its keys, its old master sends clients to the new one, and while
// it is half-moved both have some.
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
		t.Errorf("moved between the steps: %s", got)
	}
	if now := c.MasterOf(ctx, slot); now != to || count(from) != 0 {
		t.Errorf("slot %d: master %v, want %s; %d keys on the old one", slot, now, to.Addr, count(from))
	}
	for i := range 25 {
		if got, err := rdb.Get(ctx, fmt.Sprintf("{tag}:%d", i)).Int(); got != i || err != nil {
			t.Errorf("key %d: %d, %v", i, got, err)
		}
	}
	if ttl := rdb.TTL(ctx, "{tag}:0").Val(); ttl <= 0 {
		t.Errorf("time to live %v", ttl)
	}
}

// A killed master is replaced by its replica, and comes back as one.
func TestClusterReplacesAMaster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := StartCluster(t, 3, 1)
	// By itself it asks again who serves a slot only once a minute, if the one that it
	// knows refuses connections.
	rdb := c.Client(t, func(o *redis.ClusterOptions) { o.ClusterStateReloadInterval = 100 * time.Millisecond })
	if err := rdb.Set(ctx, "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	slot := int(rdb.ClusterKeySlot(ctx, "key").Val())
	old := c.MasterOf(ctx, slot)
	replicas := c.ReplicasOf(ctx, old)
	if len(replicas) != 1 {
		t.Fatalf("%d replicas", len(replicas))
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

func TestSharedClusterIsOne(t *testing.T) {
	t.Parallel()
	a, b := SharedCluster(t), SharedCluster(t)
	if fmt.Sprint(a.Addrs()) != fmt.Sprint(b.Addrs()) {
		t.Errorf("%v and %v", a.Addrs(), b.Addrs())
	}
	if err := a.Client(t).Set(t.Context(), t.Name(), 1, time.Minute).Err(); err != nil {
		t.Error(err)
	}
}

// The sentinels replace a killed master.
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

func TestSharedSentinelsAreOne(t *testing.T) {
	t.Parallel()
	a, b := SharedSentinels(t), SharedSentinels(t)
	if a.Master.Addr != b.Master.Addr {
		t.Errorf("%s and %s", a.Master.Addr, b.Master.Addr)
	}
	sentinel := redis.NewSentinelClient(&redis.Options{Addr: a.Addrs[0]})
	defer func() { _ = sentinel.Close() }()
	if m, err := sentinel.Master(t.Context(), SentinelMaster).Result(); err != nil || m["num-slaves"] != "1" {
		t.Errorf("%v, %v", m, err)
	}
}
