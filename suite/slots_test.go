package suite_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// All keys that a session has in its life are in one slot of a cluster: they have the same
// hash tag.
func TestKeysOfASessionShareASlot(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix(), lifecycle.WithBuckets(1), lifecycle.WithRetry(1, time.Second, time.Second))
	resume := make(chan struct{})
	a.m.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
		<-resume
		return errors.New("bad hook")
	})
	a.hold(nothing)
	seen := make(map[string]string) // a key of each kind
	kind := regexp.MustCompile(`^[^:]+:\{\d+\}:([a-z]+)`)
	look := func() {
		t.Helper()
		for _, key := range a.on.keys(t, a.prefix+":*") {
			if m := kind.FindStringSubmatch(key); m != nil {
				seen[m[1]] = key
			} else if key != a.prefix+":buckets" && key != a.prefix+":instances" {
				t.Errorf("key without a bucket: %s", key)
			}
		}
	}
	id, v := a.begin()
	a.ok(v, "/set?user=ann")
	a.ok(v, "/hold")
	a.ok(v, "/rotate")
	look()
	a.ok(v, "/destroy")
	redistest.Eventually(t, "the session has ended", func() bool { return len(a.keys("end:"+id)) == 1 })
	look()
	close(resume)
	redistest.Eventually(t, "the end is dead", func() bool { return len(a.keys("dead")) == 1 })
	look()

	slots := make(map[string][]string)
	for _, k := range []string{"live", "session", "watch", "due", "end", "dead"} {
		if seen[k] == "" {
			t.Errorf("the session had no %s key, only %v", k, seen)
		}
		slot := a.slot(seen[k])
		slots[slot] = append(slots[slot], seen[k])
	}
	if len(slots) != 1 || len(seen) != 6 {
		t.Errorf("slots: %v, kinds of keys: %v; want one slot, six kinds", slots, seen)
	}
}

// slot returns the slot of a key. Without a cluster it returns the hash tag, which decides
// the slot.
func (a *app) slot(key string) string {
	a.t.Helper()
	if topology() != cluster {
		return regexp.MustCompile(`\{.*?\}`).FindString(key)
	}
	slot, err := a.admin.ClusterKeySlot(redistest.Within(a.t), key).Result()
	if err != nil {
		a.t.Fatal(err)
	}
	return fmt.Sprint(slot)
}

// The sessions of one prefix are spread over all masters of a cluster, and the ends on each
// master are found.
func TestSessionsAreOnAllMasters(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithBuckets(lifecycle.DefaultBuckets))
	const n = 100
	began := make(map[string]bool)
	for range n {
		id, _ := a.begin()
		began[id] = true
	}
	masters := 0
	a.on.eachMaster(t, func(ctx context.Context, rdb redis.UniversalClient) error {
		masters++
		keys, err := rdb.Keys(ctx, a.prefix+":{*}:session:*").Result()
		if len(keys) == 0 || len(keys) > n*2/3 && topology() == cluster {
			t.Errorf("master %d has %d of %d sessions", masters, len(keys), n)
		}
		return err
	})
	if topology() == cluster && masters < 3 {
		t.Errorf("the cluster has only %d masters", masters)
	}
	a.del(a.keys("live:*")...)
	a.makeAllDue()
	for range n {
		s := a.nextDestroyed()
		if !began[s.ID] {
			t.Errorf("session %s ended twice, or is unknown", s.ID)
		}
		delete(began, s.ID)
	}
}
