package listener

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// probeInterval is how often a subscription is sent a PING; a connection on which
	// nothing came back for two of them is replaced.
	probeInterval = 3 * time.Second

	minBackoff = 50 * time.Millisecond
	maxBackoff = 3 * time.Second
)

// link is a subscription that is kept alive, over as many connections as it takes.
type link struct {
	server func() redis.UniversalClient // where the next connection goes
	log    *slog.Logger

	// Called from the link's goroutine.
	opened func(ctx context.Context) // all channels are subscribed; what was said before may have been missed
	heard  func(m *redis.Message)    // a message, or a channel that was added later, with no payload

	syncing sync.Mutex

	mu   sync.Mutex
	want []string      // channels, sorted
	ps   *redis.PubSub // nil while there is no connection
	on   []string      // channels that ps was asked for
}

// connected reports whether the subscription stands.
func (k *link) connected() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ps != nil
}

// listen sets the channels.
func (k *link) listen(ctx context.Context, channels []string) {
	k.mu.Lock()
	k.want = slices.Sorted(slices.Values(channels))
	k.mu.Unlock()
	k.sync(ctx)
}

// sync subscribes the connection, if there is one, to what is wanted.
func (k *link) sync(ctx context.Context) {
	k.syncing.Lock() // one change after the other, with what is sent for it
	defer k.syncing.Unlock()
	k.mu.Lock()
	ps, want := k.ps, k.want
	add, drop := difference(want, k.on), difference(k.on, want)
	if ps != nil {
		k.on = want
	}
	k.mu.Unlock()
	if ps == nil {
		return
	}
	// A failure breaks the connection, and the next one subscribes to all.
	if len(add) > 0 {
		_ = ps.Subscribe(ctx, add...)
	}
	if len(drop) > 0 {
		_ = ps.Unsubscribe(ctx, drop...)
	}
}

// run listens until ctx ends.
func (k *link) run(ctx context.Context) {
	var backoff time.Duration
	for {
		subscribed, err := k.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if subscribed || backoff == 0 {
			backoff = minBackoff
			k.log.Warn("lifecycle: subscription lost, subscribing again", "error", err)
		}
		// Jitter: all instances lose a server at the same moment.
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff/2 + rand.N(backoff)):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// spent is a context that has ended. go-redis replaces a connection that breaks
// while it is in use at once, with the context of the call: all instances would
// dial in the same moment. With this one it does not, over TLS excepted, where its
// dialler does not heed the context. Reads and writes go by their timeouts alone.
var spent = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// session listens on one connection until it breaks or ctx ends.
func (k *link) session(ctx context.Context) (subscribed bool, err error) {
	ps := k.server().Subscribe(ctx)
	defer func() { _ = ps.Close() }()
	defer context.AfterFunc(ctx, func() { _ = ps.Close() })()
	k.mu.Lock()
	want := k.want
	k.mu.Unlock()
	if err := ps.Subscribe(ctx, want...); err != nil {
		return false, err
	}
	defer probe(ps)()
	pending := len(want)
	defer func() {
		k.mu.Lock()
		k.ps, k.on = nil, nil
		k.mu.Unlock()
	}()
	for {
		m, err := ps.ReceiveTimeout(spent, 2*probeInterval)
		if err != nil {
			var answer redis.Error
			if errors.As(err, &answer) && subscribed {
				continue // to a PING that is not allowed: the connection is alive
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
				k.ps, k.on = ps, want
				k.mu.Unlock()
				k.sync(ctx) // with what has changed meanwhile
				k.opened(ctx)
			} else if pending < 0 {
				// A channel added later: what was said before its subscription
				// counted may have been missed.
				k.heard(&redis.Message{Channel: m.Channel})
			}
		case *redis.Message:
			k.heard(m)
		}
	}
}

// probe sends the server a PING now and then until stop is called, which waits. The
// answer comes back among the messages.
func probe(ps *redis.PubSub) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(probeInterval)
		defer tick.Stop()
		for {
			_ = ps.Ping(spent) // unanswered, the connection is replaced
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

// difference returns what is in a and not in b; both are sorted.
func difference(a, b []string) []string {
	var out []string
	for _, s := range a {
		if _, found := slices.BinarySearch(b, s); !found {
			out = append(out, s)
		}
	}
	return out
}
