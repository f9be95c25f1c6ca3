package reaper

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A server that does not answer holds up no end on the others, however long a call to it
// may take.
func TestOneServerAway(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 0, "--cluster-require-full-coverage", "no")
	rdb := c.Client(t, func(o *redis.ClusterOptions) { o.ReadTimeout = time.Minute })
	l := newLedger(t, rdb, redistest.Prefix(), 16, time.Minute)
	servers, err := l.Servers(t.Context())
	if err != nil || len(servers) != 3 {
		t.Fatalf("servers: %v, %v", servers, err)
	}
	away := servers[0].Name
	var all []int
	for b := range l.Buckets() {
		all = append(all, b)
	}
	there := make(map[string]bool)
	frozen := make(map[string]bool)
	for len(there) < 10 || len(frozen) < 5 {
		id := begin(t, l, time.Second).ID
		if l.ServerOf(id) == away {
			frozen[id] = true
		} else {
			there[id] = true
		}
	}

	s := newSink(1000)
	r := New(config(l, s, 20*time.Millisecond))
	r.SetServers(servers)
	r.SetBuckets(all)
	for _, node := range c.Nodes {
		if node.Addr == away {
			node.Pause()
			defer node.Resume()
		}
	}
	redistest.Background(t, r.Run)
	for range there {
		if id := s.next(t).ID; !there[id] {
			t.Errorf("claimed %s, which is not on a server that answers", id)
		}
	}
	for _, node := range c.Nodes {
		node.Resume()
	}
	for range frozen {
		if id := s.next(t).ID; !frozen[id] {
			t.Errorf("claimed %s, which is not on the server that was away", id)
		}
	}
}

// While the slot of a bucket is half-moved, its ends wait, and those of other buckets on
// the same server do not. When the slot has arrived, its ends are found there.
func TestMovingBucket(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2, 0)
	rdb := c.Client(t)
	l := newLedger(t, rdb, redistest.Prefix(), 16, 10*time.Second)
	servers, err := l.Servers(t.Context())
	if err != nil || len(servers) != 2 {
		t.Fatalf("servers: %v, %v", servers, err)
	}
	moving, others := make(map[string]bool), make(map[string]bool)
	bucket := servers[0].Buckets[0]
	for len(moving) < 5 || len(others) < 5 {
		switch id := begin(t, l, time.Second).ID; {
		case l.Bucket(id) == bucket:
			moving[id] = true
		case l.ServerOf(id) == servers[0].Name:
			others[id] = true
		}
	}
	s := newSink(1000)
	r := New(config(l, s, 20*time.Millisecond))
	r.SetServers(servers)
	r.SetBuckets(servers[0].Buckets)
	slot := int(rdb.ClusterKeySlot(t.Context(), fmt.Sprintf("{%d}", bucket)).Val())
	to := c.Nodes[0]
	if to.Addr == servers[0].Name {
		to = c.Nodes[1]
	}
	first := true
	err = c.MoveSlot(t.Context(), slot, to, func() {
		if !first {
			return
		}
		first = false
		redistest.Background(t, r.Run)
		for range others {
			if id := s.next(t).ID; !others[id] {
				t.Errorf("claimed %s: it is live, or its slot was half-moved", id)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for range moving {
		if id := s.next(t).ID; !moving[id] {
			t.Errorf("claimed %s, which is not of the bucket that was moved", id)
		}
	}
}
