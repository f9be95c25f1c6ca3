package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
)

// Forged and stale messages of every kind end no session.
func TestRow25ForgedMessages(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Idle = 10 * time.Second
	ps := f.together("a", "b")
	crowd := f.crowd(50, ps...)
	names := f.liveKeyNames(50) // half of which will be stale
	for i, v := range crowd[:25] {
		v.ok(ps[i%2], "/rotate")
	}
	names = append(names, f.liveKeyNames(50)...)
	inboxes := f.inboxes()
	pipe := f.rdb.Pipeline()
	for range 20 {
		for _, key := range names {
			for _, event := range keyEvents {
				pipe.Publish(t.Context(), eventChannel(event), key)
			}
		}
		for _, inbox := range inboxes {
			for _, v := range crowd {
				pipe.Publish(t.Context(), inbox, "ended "+v.id) // the message that an instance sends
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

// keyEvents are the events after which an instance looks at a session.
var keyEvents = []string{"expired", "evicted", "del"}

// eventChannel returns the channel on which Redis publishes an event.
func eventChannel(event string) string { return "__keyevent@0__:" + event }

// liveKeyNames returns the names of all live keys, which must be n.
func (f *fleet) liveKeyNames(n int) []string {
	f.t.Helper()
	live, err := f.keyNames("{*}:" + liveKeys)
	if err != nil || len(live) != n {
		f.t.Fatalf("%d live keys, want %d; %v", len(live), n, err)
	}
	return live
}

// inboxes returns the channels on which instances get messages from other instances, as
// far as they have subscribed.
func (f *fleet) inboxes() []string {
	channels, _ := f.rdb.PubSubChannels(context.Background(), f.setup.Prefix+":instance:*").Result()
	return channels
}

// A subscriber does not read. Redis cuts it off, and it loses messages: no end is lost by
// that.
func TestRow25SubscriberOverflow(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.configure("client-output-buffer-limit", "pubsub 16kb 8kb 1")
	stalled := f.start("stalled")
	f.eventually("it has subscribed", func() bool { return len(f.inboxes()) == 1 })
	inbox := f.inboxes()[0]
	b := f.start("b")
	f.knowEachOther(stalled, b)
	f.crowd(100, stalled, b)
	stalled.freeze()
	f.eventually("Redis has cut the stalled subscriber off", func() bool {
		pipe := f.rdb.Pipeline()
		for range 100 {
			pipe.Publish(context.Background(), inbox, strings.Repeat("x", 10_000))
		}
		_, err := pipe.Exec(context.Background())
		return err == nil && !slices.Contains(f.inboxes(), inbox)
	})
	stalled.thaw()
	f.eventually("it has subscribed again", func() bool { return slices.Contains(f.inboxes(), inbox) })
	f.finish()
}

// Fifty instances lose their subscriptions at the same moment: they come back spread over
// time.
func TestRow25ReconnectsAreJittered(t *testing.T) { // not parallel: it needs the whole machine
	const n = 50
	f := newFleet(t)
	var d dials
	for range n {
		f.startHere(&d)
	}
	subscribed := func() bool { return len(f.inboxes()) == n }
	f.eventually("all have subscribed", subscribed)
	// Without jitter, all would come back at once. The library draws each pause from a span of
	// 50 ms. On a machine that stalls, all may go on at the same moment, or one much later than
	// the others: so the median of five counts.
	var spreads []time.Duration
	for range 5 {
		d.reset()
		f.cutSubscribers()
		f.eventually("all have dialled again", func() bool { return d.count() >= n })
		f.eventually("all have subscribed again", subscribed)
		spreads = append(spreads, d.spread(n))
	}
	slices.Sort(spreads)
	if median := spreads[len(spreads)/2]; median < 20*time.Millisecond {
		t.Errorf("%d instances came back within %v, which is the median of %v", n, median, spreads)
	}
}

// startHere starts an instance in this process. It notes in d when it dials Redis, and
// shuts down with the test.
func (f *fleet) startHere(d *dials) {
	f.t.Helper()
	rdb := redis.NewClient(&redis.Options{
		Addr: f.redis.Addr, PoolSize: 2, ContextTimeoutEnabled: true, Dialer: d.dial,
	})
	store, err := lifecycle.NewStore(rdb, lifecycle.WithPrefix(f.setup.Prefix), lifecycle.WithBuckets(64),
		lifecycle.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	if err != nil {
		f.t.Fatal(err)
	}
	m, err := lifecycle.New(store)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := m.Start(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := errors.Join(m.Shutdown(context.Background()), rdb.Close()); err != nil {
			f.t.Error(err)
		}
	})
}

// dials notes when connections were made.
type dials struct {
	mu sync.Mutex
	at []time.Time
}

func (d *dials) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.at = append(d.at, time.Now())
	}
	return conn, err
}

// reset forgets all connections so far.
func (d *dials) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = nil
}

// count returns how many connections were made.
func (d *dials) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.at)
}

// spread returns the time between the first and the n-th connection.
func (d *dials) spread(n int) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	slices.SortFunc(d.at, time.Time.Compare)
	return d.at[n-1].Sub(d.at[0])
}
