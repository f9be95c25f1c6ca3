package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// A hundred thousand sessions reach the same absolute timeout: each hook runs
// once for each.
func TestRow22BurstOfEnds(t *testing.T) { // not parallel: it needs the machine
	const n = 100_000
	f := newFleet(t, redistest.Start(t))
	f.setup.Lease, f.setup.RedisTimeout = 30*time.Second, 10*time.Second
	f.setup.Ask = 0
	f.setup.Concurrency = 64
	f.seed(n, time.Now().Add(20*time.Second))
	f.together("a", "b", "c")
	if err := poll(2*patience, f.settled); err != nil {
		t.Fatalf("all ends are handled: %v", err)
	}
	v := f.finish()
	if v.ends != n || v.runs != 2*n || v.repeats != 0 {
		t.Errorf("%d ends, %d runs, %d repeats", v.ends, v.runs, v.repeats)
	}
	t.Logf("lag: p50 %v, p99 %v", v.lag(.5), v.lag(.99))
}

// seed begins n sessions in Redis, past the instances, that end at deadline.
func (f *fleet) seed(n int, deadline time.Time) {
	f.t.Helper()
	f.loadScripts()
	for range n / 500 {
		if _, err := f.burst(f.rdb, 500, deadline); err != nil {
			f.t.Fatal(err)
		}
	}
}

// seededIdle is the idle timeout of sessions begun past the instances.
const seededIdle = time.Hour

// burst begins n sessions that end at deadline, in one round trip, and returns their
// IDs. Redis must know the scripts. If any buckets are named, it is in these.
func (f *fleet) burst(rdb interface{ Pipeline() redis.Pipeliner }, n int, deadline time.Time, in ...int) ([]string, error) {
	create := scriptSHA("create")
	idle := seededIdle.Milliseconds()
	from := time.Now()
	pipe := rdb.Pipeline()
	ids := make([]string, n)
	for i := range ids {
		t := token.New(token.Mark{}, token.Timeouts{Idle: seededIdle, Deadline: deadline.UnixMilli()})
		for len(in) > 0 && !slices.Contains(in, token.Bucket(t.ID, f.setup.Buckets)) {
			t = token.New(token.Mark{}, t.Timeouts())
		}
		ids[i] = t.ID
		f.known.seeding(t.ID, deadline)
		rec := record.Pack(record.Record{Proof: t.Proof(), Created: from.UnixMilli(), Timeouts: t.Timeouts()})
		p := fmt.Sprintf("%s:{%d}:", f.setup.Prefix, token.Bucket(t.ID, f.setup.Buckets))
		pipe.EvalSha(context.Background(), create,
			[]string{p + "due", p + "session:" + t.ID, p + "live:" + t.ID + ":" + token.ProofText(t.Proof())},
			t.ID, rec, idle, deadline.UnixMilli(), p+"wake")
	}
	begun, err := pipe.Exec(context.Background())
	for i, cmd := range begun {
		if ok, _ := cmd.(*redis.Cmd).Bool(); ok {
			f.known.seeded(ids[i], from)
		} else if err == nil {
			err = errors.New("the deadline came before all sessions had begun")
		}
	}
	return ids, err
}

// Redis evicts live keys for want of memory: the sessions end, with that reason,
// and their data is there.
func TestRow23Eviction(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	f.setup.Idle = time.Minute
	ps := f.together("a", "b")
	f.configure("maxmemory-policy", "volatile-lru")
	kept := make(map[string]string)
	for i, v := range f.crowd(100, ps...) {
		kept[v.id] = "value-" + strconv.Itoa(i)
		v.ok(ps[i%2], "/save?"+keptKey+"="+kept[v.id])
	}
	restore := func() {}
	f.known.evicting(func() {
		restore = f.configure("maxmemory", "1")
		f.eventually("all live keys are evicted", func() bool { return f.keys("live:*") == 0 })
		restore()
		f.eventually("all ends are handled", f.settled)
	})
	f.finish()
	for _, e := range f.events() {
		if e.kind == started && e.reason != string(lifecycle.ReasonEvicted) {
			t.Errorf("session %s: reason %s", e.id, e.reason)
		}
		if (e.kind == started || e.kind == closure) && e.value != kept[e.id] {
			t.Errorf("session %s: hook %s got the value %q, want %q", e.id, e.hook, e.value, kept[e.id])
		}
	}
}

// A policy that may evict what has no time to live is warned of at the start.
func TestRow23AllkeysPolicyIsWarnedOf(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t, "--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb"))
	p := f.start("a")
	f.eventually("it is in the log", func() bool { return p.logged("allkeys-lru") })
	f.finish()
}

// Redis refuses writes: visitors are told so clearly, and ends are handled once it
// takes them again.
func TestRow24RedisRefusesWrites(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(f *fleet) (restore func()){
		"OOM": func(f *fleet) func() { return f.configure("maxmemory", "1") },
		"READONLY": func(f *fleet) func() {
			replicaOf := func(host, port string) {
				if err := f.rdb.Do(context.Background(), "replicaof", host, port).Err(); err != nil {
					f.t.Error(err)
				}
			}
			// A master that is not there: it waits for it and keeps its data.
			replicaOf("127.0.0.1", strconv.Itoa(redistest.FreePort(f.t)))
			return func() { replicaOf("no", "one") }
		},
		"MISCONF": func(f *fleet) func() {
			// A snapshot cannot be written, and a save point says that it must be.
			restoreSave := f.configure("save", "3600 1")
			if err := os.RemoveAll(f.redis.Dir); err != nil {
				f.t.Fatal(err)
			}
			if err := f.rdb.BgSave(context.Background()).Err(); err != nil {
				f.t.Fatal(err)
			}
			f.eventually("the snapshot has failed", func() bool {
				return info(context.Background(), f.rdb, "persistence", "rdb_last_bgsave_status") == "err"
			})
			return restoreSave
		},
		"LOADING": func(f *fleet) func() {
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
				// A millisecond for each of 30,000 keys, and a look at its clients now and then.
				f.redis.Restart(f.t, "--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
			}()
			return func() {
				f.eventually("it loads faster", func() bool {
					return f.rdb.ConfigSet(context.Background(), "key-load-delay", "0").Err() == nil
				})
				<-loaded
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, redistest.Start(t))
			f.setup.Idle = 5 * time.Second
			ps := f.together("a", "b")
			f.crowd(100, ps...)
			restore := refuse(f)
			f.eventually("a visitor is told why", func() bool {
				status, body := (&visitor{f: f}).visit(ps[0], "/")
				if status == http.StatusOK {
					t.Error("a session began while Redis refused writes")
					return true
				}
				return status == http.StatusServiceUnavailable && strings.Contains(body, name)
			})
			over := time.Now().Add(f.setup.Idle)
			f.eventually("all times are over", func() bool { return time.Now().After(over) })
			restore()
			f.finish()
		})
	}
}

// Forged and stale messages of every kind are worth nothing.
func TestRow25ForgedMessages(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	f.setup.Idle = 10 * time.Second
	ps := f.together("a", "b")
	crowd := f.crowd(50, ps...)
	keys := func() []string {
		live, err := f.rdb.Keys(t.Context(), f.setup.Prefix+":{*}:live:*").Result()
		if err != nil || len(live) != 50 {
			t.Fatalf("%d live keys, %v", len(live), err)
		}
		return live
	}
	names := keys() // some of which will be stale
	for i, v := range crowd[:25] {
		v.ok(ps[i%2], "/rotate")
	}
	names = append(names, keys()...)
	inboxes := f.inboxes()
	pipe := f.rdb.Pipeline()
	for range 20 {
		for _, key := range names {
			for _, event := range []string{"expired", "evicted", "del"} {
				pipe.Publish(t.Context(), "__keyevent@0__:"+event, key)
			}
		}
		for _, inbox := range inboxes {
			for _, v := range crowd {
				pipe.Publish(t.Context(), inbox, "ended "+v.id) // as an instance would say it
				pipe.Publish(t.Context(), inbox, v.id)
				pipe.Publish(t.Context(), inbox, "garbage")
			}
		}
		for b := range f.setup.Buckets {
			pipe.Publish(t.Context(), fmt.Sprintf("%s:{%d}:wake", f.setup.Prefix, b), "garbage")
		}
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, v := range crowd {
		if id := v.id; v.ok(ps[i%2], "/") != id {
			t.Errorf("session %s is gone", id)
		}
	}
	f.finish()
}

// inboxes returns the channels of the instances that have subscribed.
func (f *fleet) inboxes() []string {
	channels, _ := f.rdb.PubSubChannels(context.Background(), f.setup.Prefix+":instance:*").Result()
	return channels
}

// A subscriber that does not read is disconnected by Redis, and loses what it was
// to hear: nothing comes of that.
func TestRow25SubscriberOverflow(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	f.configure("client-output-buffer-limit", "pubsub 16kb 8kb 1")
	stalled := f.start("stalled")
	f.eventually("it has subscribed", func() bool { return len(f.inboxes()) == 1 })
	inbox := f.inboxes()[0]
	b := f.start("b")
	f.knowEachOther(stalled, b)
	f.crowd(100, stalled, b)
	stalled.freeze()
	f.eventually("Redis cuts the stalled subscriber off", func() bool {
		pipe := f.rdb.Pipeline()
		for range 100 {
			pipe.Publish(context.Background(), inbox, strings.Repeat("x", 10_000))
		}
		_, err := pipe.Exec(context.Background())
		return err == nil && !slices.Contains(f.inboxes(), inbox)
	})
	stalled.thaw()
	f.eventually("it subscribes again", func() bool { return slices.Contains(f.inboxes(), inbox) })
	f.finish()
}

// Fifty instances lose their subscriptions at the same moment: they come back
// spread over time.
func TestRow25ReconnectsAreJittered(t *testing.T) { // not parallel: it needs the machine
	const n = 50
	server := redistest.Start(t)
	f := newFleet(t, server)
	var mu sync.Mutex
	var dialled []time.Time
	cut := false
	for range n {
		rdb := redis.NewClient(&redis.Options{
			Addr: server.Addr, PoolSize: 2, ContextTimeoutEnabled: true,
			Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)
				mu.Lock()
				defer mu.Unlock()
				if err == nil && cut {
					dialled = append(dialled, time.Now())
				}
				return conn, err
			},
		})
		store, err := lifecycle.NewStore(rdb, lifecycle.WithPrefix(f.setup.Prefix), lifecycle.WithBuckets(64),
			lifecycle.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
		if err != nil {
			t.Fatal(err)
		}
		m, err := lifecycle.New(store)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := errors.Join(m.Shutdown(context.Background()), rdb.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	subscribed := func() bool { return len(f.inboxes()) == n }
	f.eventually("all have subscribed", subscribed)
	// Without jitter they would come within a moment. The pause is drawn from a span
	// of 50 ms; a machine that stalls may release them all at once, or hold one up.
	var spreads []time.Duration
	for range 5 {
		mu.Lock()
		cut, dialled = true, nil
		mu.Unlock()
		if err := f.rdb.Do(t.Context(), "client", "kill", "type", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
		f.eventually("all have dialled again", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(dialled) >= n
		})
		f.eventually("all have subscribed again", subscribed)
		mu.Lock()
		slices.SortFunc(dialled, time.Time.Compare)
		spreads = append(spreads, dialled[n-1].Sub(dialled[0]))
		mu.Unlock()
	}
	slices.Sort(spreads)
	if median := spreads[len(spreads)/2]; median < 20*time.Millisecond {
		t.Errorf("%d instances came back within %v, in the middle of five times: %v", n, median, spreads)
	}
}
