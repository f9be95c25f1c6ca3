package faults

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A hundred thousand sessions reach their absolute timeout at the same moment: each hook
// runs once for each of them.
func TestRow22BurstOfEnds(t *testing.T) { // not parallel: it needs the whole machine
	const n, batch = 100_000, 500
	f := newFleet(t)
	f.setup.Lease, f.setup.RedisTimeout = 30*time.Second, 10*time.Second
	f.setup.Ask = 0
	f.setup.Concurrency = 64
	f.loadScripts()
	deadline := time.Now().Add(20 * time.Second)
	for range n / batch {
		if _, err := f.seed(f.rdb, batch, deadline); err != nil {
			t.Fatal(err)
		}
	}
	f.together("a", "b", "c")
	if err := redistest.Poll(2*patience, f.settled); err != nil {
		t.Fatalf("all ends are handled: %v", err)
	}
	v := f.finish()
	if v.ends != n || v.runs != 2*n || v.repeats != 0 {
		t.Errorf("%d ends, %d runs, %d repeats", v.ends, v.runs, v.repeats)
	}
	t.Logf("lag: p50 %v, p99 %v", v.lag(.5), v.lag(.99))
}

// Redis is short of memory and evicts live keys. The sessions end with that reason, and the
// hooks get the sessions' values.
func TestRow23Eviction(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Idle = time.Minute
	ps := f.together("a", "b")
	f.configure("maxmemory-policy", "volatile-lru")
	kept := make(map[string]string)
	for i, v := range f.crowd(100, ps...) {
		kept[v.id] = "value-" + strconv.Itoa(i)
		v.ok(ps[i%2], "/save?"+keptKey+"="+kept[v.id])
	}
	f.known.evicting(func() {
		restore := f.configure("maxmemory", "1")
		f.eventually("all live keys are evicted", func() bool { return f.keys(liveKeys) == 0 })
		restore()
		f.eventually("all ends are handled", f.settled)
	})
	f.finish()
	f.allReasons(lifecycle.ReasonEvicted)
	for _, e := range f.events() {
		if (e.kind == started || e.kind == closure) && e.value != kept[e.id] {
			t.Errorf("session %s: hook %s got the value %q, want %q", e.id, e.hook, e.value, kept[e.id])
		}
	}
}

// With an eviction policy that may evict records, an instance logs a warning when it starts.
func TestRow23AllkeysPolicyIsWarnedOf(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb")
	f.awaitLogged("allkeys-lru", 1, f.start("a"))
	f.finish()
}

// Redis refuses writes: visitors get the reason, and the ends are handled once Redis accepts
// writes again.
func TestRow24RedisRefusesWrites(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(f *fleet) (restore func()){
		"OOM":      func(f *fleet) func() { return f.configure("maxmemory", "1") },
		"READONLY": (*fleet).becomeReplica,
		"MISCONF":  (*fleet).failToSave,
		"LOADING":  (*fleet).loadSlowly,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			f.setup.Idle = 5 * time.Second
			ps := f.together("a", "b")
			f.crowd(100, ps...)
			restore := refuse(f)
			f.eventually("a visitor gets the reason", func() bool {
				status, body := f.newVisitor().visit(ps[0], "/")
				if status == http.StatusOK {
					t.Error("a session began while Redis refused writes")
					return true
				}
				return status == http.StatusServiceUnavailable && strings.Contains(body, name)
			})
			f.awaitTime("all timeouts have passed", time.Now().Add(f.setup.Idle))
			restore()
			f.finish()
		})
	}
}

// becomeReplica makes Redis the replica of a master that does not exist. Redis waits for
// the master, keeps its data and refuses writes.
func (f *fleet) becomeReplica() (restore func()) {
	replicaOf := func(host, port string) {
		if err := f.rdb.Do(context.Background(), "replicaof", host, port).Err(); err != nil {
			f.t.Error(err)
		}
	}
	replicaOf("127.0.0.1", strconv.Itoa(redistest.FreePort(f.t)))
	return func() { replicaOf("no", "one") }
}

// failToSave makes Redis fail to write a snapshot. Redis refuses writes because a save point
// says that it must write snapshots.
func (f *fleet) failToSave() (restore func()) {
	restore = f.configure("save", "3600 1")
	if err := os.RemoveAll(f.redis.Dir); err != nil {
		f.t.Fatal(err)
	}
	if err := f.rdb.BgSave(context.Background()).Err(); err != nil {
		f.t.Fatal(err)
	}
	f.eventually("the snapshot has failed", func() bool {
		return info(context.Background(), f.rdb, "persistence", "rdb_last_bgsave_status") == "err"
	})
	return restore
}

// loadSlowly restarts Redis with a snapshot that takes 30 seconds to load: a millisecond
// for each of 30,000 keys. restore lets Redis load the rest at once.
func (f *fleet) loadSlowly() (restore func()) {
	if err := f.rdb.Do(context.Background(), "debug", "populate", "30000").Err(); err != nil {
		f.t.Fatal(err)
	}
	if err := f.rdb.Save(context.Background()).Err(); err != nil {
		f.t.Fatal(err)
	}
	f.redis.Kill()
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		// The second setting makes Redis serve its clients now and then while it loads.
		f.redis.Restart(f.t, "--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
	}()
	return func() {
		f.eventually("Redis loads faster", func() bool {
			return f.rdb.ConfigSet(context.Background(), "key-load-delay", "0").Err() == nil
		})
		<-loaded
	}
}
