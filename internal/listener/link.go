package listener

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/backoff"
	"github.com/gin-lifecycle/lifecycle/internal/reply"
)

// probeInterval is the pause between two PINGs on a subscription. A connection on which
// nothing has come for twice as long is replaced.
const probeInterval = 3 * time.Second

// link is a subscription that is kept alive: when its connection breaks, the link
// connects again.
type link struct {
	server  func() (address string, client redis.UniversalClient) // returns the server for the next connection
	outages *outages
	purpose purpose

	// Both are called from the link's own goroutine.
	onSubscribed func(ctx context.Context) // all channels are subscribed; messages may have been missed before
	// onMessage gets each message. It also gets one without a payload for each channel
	// that was added later, once that is subscribed: messages on it may have been missed.
	onMessage func(m *redis.Message)

	changing sync.Mutex // held while the channels of the connection are changed

	mu        sync.Mutex
	wanted    []string      // the channels to listen to, sorted
	conn      *redis.PubSub // nil while there is no connection
	requested []string      // the channels that conn was asked for, sorted
}

// purpose says, for the log, what a link is for. All three are parts of a sentence.
type purpose struct {
	what    string // what it listens to
	without string // what happens without it
	advice  string // what to do if Redis does not permit it
}

// connected reports whether there is a connection with its channels subscribed.
func (k *link) connected() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.conn != nil
}

// setChannels sets the channels to listen to.
func (k *link) setChannels(ctx context.Context, channels []string) {
	k.mu.Lock()
	k.wanted = slices.Sorted(slices.Values(channels))
	k.mu.Unlock()
	k.updateChannels(ctx)
}

// updateChannels subscribes the connection, if there is one, to the wanted channels and to
// no others.
func (k *link) updateChannels(ctx context.Context) {
	k.changing.Lock() // until the commands are sent: another call must not send its own in between
	defer k.changing.Unlock()
	k.mu.Lock()
	conn, wanted := k.conn, k.wanted
	add, remove := difference(wanted, k.requested), difference(k.requested, wanted)
	if conn != nil {
		k.requested = wanted
	}
	k.mu.Unlock()
	if conn == nil {
		return
	}
	// An error breaks the connection, and the next one subscribes to all wanted channels.
	if len(add) > 0 {
		_ = conn.Subscribe(ctx, add...)
	}
	if len(remove) > 0 {
		_ = conn.Unsubscribe(ctx, remove...)
	}
}

// run listens until ctx ends. When a subscription breaks, or cannot be made, run makes
// another one after a pause. The log says so once, until a subscription has succeeded.
func (k *link) run(ctx context.Context) {
	retry := backoff.Backoff{Min: 50 * time.Millisecond, Max: 3 * time.Second}
	for {
		address, client := k.server()
		subscribed, err := k.listenOnce(ctx, address, client)
		if ctx.Err() != nil {
			return
		}
		if subscribed {
			retry.Reset()
		}
		k.outages.failed(k, address, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(retry.Next()):
		}
	}
}

// canceled is a context that has ended. Where a connection breaks while go-redis uses it,
// go-redis dials a new one at once, with the context of the call: all instances would
// dial in the same moment. With this context go-redis does not dial, except over TLS,
// where its dialer ignores the context. Reads and writes are not affected: only their
// timeouts count.
var canceled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// listenOnce listens on one connection to a server until that breaks or ctx ends. subscribed
// is true if it got as far as being subscribed to all channels.
func (k *link) listenOnce(ctx context.Context, address string, client redis.UniversalClient) (subscribed bool, err error) {
	conn := client.Subscribe(ctx)
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	k.mu.Lock()
	channels := k.wanted
	k.mu.Unlock()
	if err := conn.Subscribe(ctx, channels...); err != nil {
		return false, err
	}
	defer probe(conn)()
	pending := len(channels) // not confirmed yet
	defer func() {
		k.mu.Lock()
		k.conn, k.requested = nil, nil
		k.mu.Unlock()
	}()
	for {
		m, err := conn.ReceiveTimeout(canceled, 2*probeInterval)
		if err != nil {
			if reply.IsReply(err) && subscribed {
				continue // Redis refuses our PING: the connection is alive
			}
			return subscribed, err
		}
		switch m := m.(type) {
		case *redis.Subscription:
			if m.Kind != "subscribe" {
				continue
			}
			if pending--; pending == 0 {
				subscribed = true
				k.mu.Lock()
				k.conn, k.requested = conn, channels
				k.mu.Unlock()
				k.outages.subscribed(k, address)
				k.updateChannels(ctx) // setChannels may have been called meanwhile
				k.onSubscribed(ctx)
			} else if pending < 0 { // a channel that was added later
				k.onMessage(&redis.Message{Channel: m.Channel})
			}
		case *redis.Message:
			k.onMessage(m)
		}
	}
}

// probe sends a PING every probeInterval, until the function that it returns is called.
// That function waits until no PING is being sent any more. The answers come among the
// messages.
func probe(conn *redis.PubSub) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(probeInterval)
		defer tick.Stop()
		for {
			_ = conn.Ping(canceled) // where no answer comes, the receiver replaces the connection
			select {
			case <-quit:
				return
			case <-tick.C:
			}
		}
	})
	return func() {
		close(quit)
		wg.Wait()
	}
}

// difference returns what is in a and not in b. Both are sorted.
func difference(a, b []string) []string {
	var out []string
	for _, s := range a {
		if _, found := slices.BinarySearch(b, s); !found {
			out = append(out, s)
		}
	}
	return out
}
