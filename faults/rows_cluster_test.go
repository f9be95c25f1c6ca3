package faults

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// The slots of buckets go from master to master and back, under load, and stay
// half-moved for a while: no session ends before its time, no end is lost, and none
// is handled twice.
func TestRow15SlotsMoved(t *testing.T) {
	t.Parallel()
	f, c := newClusterFleet(t)
	f.together("a", "b")
	stop := f.load(f.living)
	f.eventually("ends are handled", func() bool { return f.runs(done, "") >= 50 })
	moves, pauses := 0, 0
	var wg sync.WaitGroup
	var mu sync.Mutex
	for b := range 4 {
		slot := f.slotOf(b)
		home := c.MasterOf(t.Context(), slot)
		masters := c.Masters(t.Context())
		away := masters[(slices.Index(masters, home)+1)%len(masters)]
		wg.Go(func() { // all at the same time
			pace := time.NewTicker(50 * time.Millisecond)
			defer pace.Stop()
			for range 2 {
				for _, to := range []*redistest.Server{away, home} {
					err := c.MoveSlot(context.Background(), slot, to, func() {
						<-pace.C
						mu.Lock()
						defer mu.Unlock()
						pauses++
					})
					if err != nil {
						t.Errorf("bucket %d: %v", b, err)
						return
					}
					mu.Lock()
					moves++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	handled := f.runs(done, "")
	f.eventually("hooks go on", func() bool { return f.runs(done, "") >= handled+50 })
	failed := stop()
	v := f.finish()
	if v.repeats > 0 || v.excused > 0 || moves != 16 {
		t.Errorf("%d repeats, %d excused, %d moves", v.repeats, v.excused, moves)
	}
	t.Logf("%d moves, half-moved %d times, %d sessions, %d visits failed, lag p99 %v",
		moves, pauses, v.sessions, failed, v.lag(.99))
}

// A master dies under load. Before another takes its place the ends of the others'
// sessions are handled; after that the hooks of its own go on, and nothing is lost
// that its replica had.
func TestRow15MasterKilled(t *testing.T) {
	t.Parallel()
	for _, holds := range []string{"the instances", "sessions only"} {
		t.Run(holds, func(t *testing.T) {
			t.Parallel()
			f, c := newClusterFleet(t)
			ps := f.together("a", "b")
			victim := c.MasterOf(t.Context(), f.slotOfKey(f.setup.Prefix+":instances"))
			if holds == "sessions only" {
				masters := c.Masters(t.Context())
				victim = masters[(slices.Index(masters, victim)+1)%len(masters)]
			}
			var its, others []int
			for b := range f.setup.Buckets {
				if c.MasterOf(t.Context(), f.slotOf(b)) == victim {
					its = append(its, b)
				} else {
					others = append(others, b)
				}
			}
			f.seedReplicated(25*time.Second, victim.Addr, 50, its...)
			stop := f.load(f.living)
			f.eventually("ends are handled", func() bool { return f.runs(done, "") >= 100 })

			heir := c.ReplicasOf(t.Context(), victim)[0]
			stay := func(what string) { // whether it is to stay a replica
				rdb := redis.NewClient(&redis.Options{Addr: heir.Addr})
				defer func() { _ = rdb.Close() }()
				if err := rdb.ConfigSet(t.Context(), "cluster-replica-no-failover", what).Err(); err != nil {
					t.Fatal(err)
				}
			}
			stay("yes")
			f.known.losing(time.Second, victim.Kill)
			// Sessions that begin only now: of others' buckets, any other cannot begin.
			var begun []string
			f.eventually("sessions begin on the others", func() bool {
				v := &visitor{f: f}
				if status, _ := v.visit(ps[len(begun)%2], "/"); status == http.StatusOK {
					begun = append(begun, v.id)
				}
				return len(begun) >= 20
			})
			f.eventually("their ends are handled", func() bool {
				return !slices.ContainsFunc(begun, func(id string) bool { return f.runs(done, id) == 0 })
			})
			if c.MasterOf(t.Context(), f.slotOf(its[0])) != nil {
				t.Fatal("there is a new master too early")
			}
			t.Logf("%d buckets are without a master, %d have theirs", len(its), len(others))
			stay("no")
			f.eventually("another master takes its place", func() bool {
				return c.MasterOf(t.Context(), f.slotOf(its[0])) != nil
			})
			handled := f.runsIn(its)
			f.eventually("its own hooks go on", func() bool {
				return f.runsIn(its) >= handled+140 // more than those that were begun before
			})
			stop()
			v := f.finish()
			t.Logf("%d sessions, %d excused, %d repeats", v.sessions, v.excused, v.repeats)
		})
	}
}

// After one of them has been replaced, all masters send notifications, and each is
// listened to: a live key deleted by others is told as that, long before its time.
func TestRow15AllMastersAreHeard(t *testing.T) {
	t.Parallel()
	f, c := newClusterFleet(t)
	f.setup.Idle = time.Minute
	ps := f.together("a", "b")
	old := c.Masters(t.Context())[0]
	old.Kill()
	f.eventually("another master takes its place", func() bool { return len(c.Masters(t.Context())) == 3 })
	old.Restart(t)
	c.AwaitWell(t)
	sending := func() (n int) {
		_ = f.eachMaster(func(rdb *redis.Client) error {
			flags, err := rdb.ConfigGet(t.Context(), "notify-keyspace-events").Result()
			if now := flags["notify-keyspace-events"]; err == nil && strings.Contains(now, "x") && strings.Contains(now, "g") {
				n++
			}
			return err
		})
		return n
	}
	f.eventually("all masters send notifications", func() bool { return sending() == 3 })
	f.eventually("they are heard", func() bool { return f.hears(ps...) })
	var crowd []*visitor
	f.eventually("each master has sessions", func() bool {
		crowd = append(crowd, f.begin(ps[len(crowd)%2], "/"))
		return f.mastersOf(crowd) == 3
	})
	n := 0
	f.known.evicting(func() {
		if err := f.eachMaster(func(rdb *redis.Client) error {
			keys, err := rdb.Keys(t.Context(), f.setup.Prefix+":{*}:live:*").Result()
			for _, k := range keys {
				if err := rdb.Del(t.Context(), k).Err(); err != nil {
					return err
				}
				n++
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		f.eventually("their ends are told", func() bool { return f.runs(done, "") == n })
	})
	f.finish()
	if n != len(crowd) {
		t.Errorf("%d live keys of %d sessions", n, len(crowd))
	}
	for _, e := range f.events() {
		if e.kind == started && e.reason != string(lifecycle.ReasonDeleted) {
			t.Errorf("session %s: reason %s", e.id, e.reason)
		}
	}
}

// newClusterFleet makes a fleet without instances on a cluster of three masters, each
// with a replica.
func newClusterFleet(t *testing.T) (*fleet, *redistest.Cluster) {
	t.Helper()
	c := redistest.StartCluster(t, 3, 1, "--cluster-require-full-coverage", "no")
	f := newFleet(t, c.Nodes[0])
	_ = f.rdb.Close()
	f.rdb = c.Client(t, func(o *redis.ClusterOptions) { o.ClusterStateReloadInterval = time.Second })
	f.cluster, f.setup.Cluster = c, c.Addrs()
	f.setup.RedisTimeout = time.Second // less than the idle timeout: no call is repeated that long after it
	return f, c
}

// slotOf returns the slot of a bucket.
func (f *fleet) slotOf(bucket int) int {
	return f.slotOfKey(fmt.Sprintf("%s:{%d}:due", f.setup.Prefix, bucket))
}

func (f *fleet) slotOfKey(key string) int {
	f.t.Helper()
	slot, err := f.rdb.ClusterKeySlot(context.Background(), key).Result()
	if err != nil {
		f.t.Fatal(err)
	}
	return int(slot)
}

// mastersOf counts the masters that have sessions of a crowd.
func (f *fleet) mastersOf(crowd []*visitor) int {
	masters := make(map[*redis.Client]bool)
	for _, v := range crowd {
		bucket := token.Bucket(v.id, f.setup.Buckets)
		rdb, err := f.rdb.(*redis.ClusterClient).MasterForKey(context.Background(), fmt.Sprintf("%s:{%d}:due", f.setup.Prefix, bucket))
		if err != nil {
			return -1
		}
		masters[rdb] = true
	}
	return len(masters)
}

// runsIn counts the runs of hooks for sessions of these buckets.
func (f *fleet) runsIn(buckets []int) int {
	f.t.Helper()
	n := 0
	for _, e := range f.events() {
		if e.kind == done && slices.Contains(buckets, token.Bucket(e.id, f.setup.Buckets)) {
			n++
		}
	}
	return n
}
