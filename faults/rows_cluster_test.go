package faults

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// The slots of buckets move from master to master and back, under load, and stay half-moved
// for a while. No session ends early, no end is lost, and none is handled twice.
func TestRow15SlotsMoved(t *testing.T) {
	t.Parallel()
	f, c := newClusterFleet(t)
	f.together("a", "b")
	stop := f.load(f.living)
	f.awaitEnds(50)
	moves, pauses := 0, 0
	var wg sync.WaitGroup
	var mu sync.Mutex
	for b := range 4 {
		slot := f.slotOf(b)
		home := c.MasterOf(t.Context(), slot)
		away := nextMaster(t.Context(), c, home)
		wg.Go(func() { // all four at the same time
			pace := time.NewTicker(50 * time.Millisecond)
			defer pace.Stop()
			for _, to := range []*redistest.Server{away, home, away, home} {
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
		})
	}
	wg.Wait()
	f.awaitMoreEnds(50)
	failed := stop()
	v := f.finish()
	if v.repeats > 0 || v.excused > 0 || moves != 16 {
		t.Errorf("%d repeats, %d excused, %d moves", v.repeats, v.excused, moves)
	}
	t.Logf("%d moves, half-moved %d times, %d sessions, %d visits failed, lag p99 %v",
		moves, pauses, v.sessions, failed, v.lag(.99))
}

// A master dies under load. Until its replica is the new master, the ends of sessions on the
// other masters are handled. After that the hooks of its own sessions go on, and no session
// is lost that the replica had.
func TestRow15MasterKilled(t *testing.T) {
	t.Parallel()
	t.Run("the instances", func(t *testing.T) { // it has the list of instances
		t.Parallel()
		f, c := newClusterFleet(t)
		masterKilled(t, f, c, f.masterOfInstances(c))
	})
	t.Run("sessions only", func(t *testing.T) {
		t.Parallel()
		f, c := newClusterFleet(t)
		masterKilled(t, f, c, nextMaster(t.Context(), c, f.masterOfInstances(c)))
	})
}

func masterKilled(t *testing.T, f *fleet, c *redistest.Cluster, victim *redistest.Server) {
	ps := f.together("a", "b")
	var its, others []int // buckets
	for b := range f.setup.Buckets {
		if c.MasterOf(t.Context(), f.slotOf(b)) == victim {
			its = append(its, b)
		} else {
			others = append(others, b)
		}
	}
	hasMaster := func() bool { return c.MasterOf(t.Context(), f.slotOf(its[0])) != nil }
	f.seedReplicated(seededLife, victim.Addr, 50, its...)
	stop := f.load(f.living)
	f.awaitEnds(100)

	heir := c.ReplicasOf(t.Context(), victim)[0]
	mayReplace(t, heir, false)
	f.known.losing(time.Second, victim.Kill)
	var begun []string // sessions that begin now; they can only begin in the other buckets
	f.eventually("sessions begin on the other masters", func() bool {
		v := f.newVisitor()
		if status, _ := v.visit(ps[len(begun)%2], "/"); status == http.StatusOK {
			begun = append(begun, v.id)
		}
		return len(begun) >= 20
	})
	f.eventually("their ends are handled", func() bool {
		return !slices.ContainsFunc(begun, func(id string) bool { return f.runs(done, id) == 0 })
	})
	if hasMaster() {
		t.Fatal("there is a new master too early")
	}
	t.Logf("%d buckets are without a master, %d have one", len(its), len(others))
	mayReplace(t, heir, true)
	f.eventually("the replica is the new master", hasMaster)
	handled := f.runsIn(its)
	f.eventually("the hooks of the killed master's sessions go on", func() bool {
		return f.runsIn(its) >= handled+140 // more than for the sessions that began before
	})
	stop()
	v := f.finish()
	t.Logf("%d sessions, %d excused, %d repeats", v.sessions, v.excused, v.repeats)
}

// mayReplace sets whether a replica may take its master's place.
func mayReplace(t *testing.T, replica *redistest.Server, may bool) {
	t.Helper()
	never := "yes"
	if may {
		never = "no"
	}
	rdb := redis.NewClient(&redis.Options{Addr: replica.Addr})
	defer func() { _ = rdb.Close() }()
	if err := rdb.ConfigSet(t.Context(), "cluster-replica-no-failover", never).Err(); err != nil {
		t.Fatal(err)
	}
}

// One master has been replaced by its replica. All masters send notifications, and the
// instances listen to each: where others delete live keys, the hooks run with that reason
// long before the timeout.
func TestRow15AllMastersAreHeard(t *testing.T) {
	t.Parallel()
	f, c := newClusterFleet(t)
	f.setup.Idle = time.Minute
	ps := f.together("a", "b")
	old := c.Masters(t.Context())[0]
	old.Kill()
	f.eventually("the replica is the new master", func() bool { return len(c.Masters(t.Context())) == 3 })
	old.Restart(t)
	c.AwaitWell(t)
	f.eventually("all masters send notifications", func() bool {
		sending := 0
		err := redistest.EachMaster(t.Context(), f.rdb, func(ctx context.Context, rdb redis.UniversalClient) error {
			if notifies(ctx, rdb, "xg") {
				sending++
			}
			return nil
		})
		return err == nil && sending == 3
	})
	f.eventually("an instance hears them", func() bool { return hearsNotifications(ps) })
	var crowd []*visitor
	f.eventually("each master has sessions", func() bool {
		crowd = append(crowd, f.begin(ps[len(crowd)%2], "/"))
		return f.mastersOf(crowd) == 3
	})
	n := 0
	f.known.evicting(func() {
		n = f.deleteLiveKeys()
		f.awaitRuns(done, "", n)
	})
	f.finish()
	if n != len(crowd) {
		t.Errorf("%d live keys of %d sessions", n, len(crowd))
	}
	f.allReasons(lifecycle.ReasonDeleted)
}

// deleteLiveKeys deletes all live keys and returns how many there were.
func (f *fleet) deleteLiveKeys() (n int) {
	f.t.Helper()
	ctx := context.Background()
	if err := redistest.EachMaster(ctx, f.rdb, func(ctx context.Context, rdb redis.UniversalClient) error {
		keys, err := rdb.Keys(ctx, f.setup.Prefix+":{*}:"+liveKeys).Result()
		for _, k := range keys {
			if err := rdb.Del(ctx, k).Err(); err != nil {
				return err
			}
			n++
		}
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// newClusterFleet returns a fleet without instances on a cluster of three masters, each
// with one replica.
func newClusterFleet(t *testing.T) (*fleet, *redistest.Cluster) {
	t.Helper()
	c := redistest.StartCluster(t, 3, 1, "--cluster-require-full-coverage", "no")
	f := newFleetOn(t, c.Nodes[0])
	f.use(c.Client(t, func(o *redis.ClusterOptions) { o.ClusterStateReloadInterval = time.Second }))
	f.cluster, f.setup.Cluster = c, c.Addrs()
	f.setup.RedisTimeout = shortRedisTimeout
	return f, c
}

// nextMaster returns another master than m.
func nextMaster(ctx context.Context, c *redistest.Cluster, m *redistest.Server) *redistest.Server {
	masters := c.Masters(ctx)
	return masters[(slices.Index(masters, m)+1)%len(masters)]
}

// masterOfInstances returns the master that has the list of instances.
func (f *fleet) masterOfInstances(c *redistest.Cluster) *redistest.Server {
	f.t.Helper()
	return c.MasterOf(context.Background(), f.slotOfKey(f.setup.Prefix+":instances"))
}

// slotOf returns the slot of a bucket.
func (f *fleet) slotOf(bucket int) int {
	f.t.Helper()
	return f.slotOfKey(f.dueIndex(bucket))
}

// slotOfKey returns the slot of a key.
func (f *fleet) slotOfKey(key string) int {
	f.t.Helper()
	slot, err := f.rdb.ClusterKeySlot(context.Background(), key).Result()
	if err != nil {
		f.t.Fatal(err)
	}
	return int(slot)
}

// mastersOf counts the masters that have sessions of a crowd, -1 if Redis does not respond.
func (f *fleet) mastersOf(crowd []*visitor) int {
	masters := make(map[*redis.Client]bool)
	for _, v := range crowd {
		due := f.dueIndex(token.Bucket(v.id, f.setup.Buckets))
		rdb, err := f.rdb.(*redis.ClusterClient).MasterForKey(context.Background(), due)
		if err != nil {
			return -1
		}
		masters[rdb] = true
	}
	return len(masters)
}

// runsIn counts the runs of hooks that succeeded for sessions of these buckets.
func (f *fleet) runsIn(buckets []int) int {
	f.t.Helper()
	n := 0
	for _, e := range f.eventsOf(done) {
		if slices.Contains(buckets, token.Bucket(e.id, f.setup.Buckets)) {
			n++
		}
	}
	return n
}
