// Package listener hears what Redis and the other instances say. All of it is
// hints: a message that never comes delays something and loses nothing.
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

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

const (
	// probeInterval is how often the listener sends itself a message; a
	// connection on which nothing came back for two of them is replaced.
	probeInterval = 3 * time.Second
	// checkInterval is how often the server's notification setting is read again.
	checkInterval = 10 * time.Second

	minBackoff = 50 * time.Millisecond
	maxBackoff = 3 * time.Second
)

// Config is what a Listener is made of.
type Config struct {
	Ledger        *ledger.Ledger
	Instance      string
	Notifications bool // listen to keyspace notifications, where this instance is the leader
	DB            int  // database number, part of the events' channel names
	Log           *slog.Logger
}

// Events is what Run reports, from its own goroutine.
type Events struct {
	Message    func(ledger.Message)
	Subscribed func() // messages may have been missed before
}

// Listener is one subscription, kept alive. Make it with New.
type Listener struct {
	c      Config
	notify notifications

	syncing sync.Mutex

	mu     sync.Mutex
	own    []int
	leader bool
	ps     *redis.PubSub // nil while there is no connection
	on     []string      // channels that ps was asked for
}

// New returns a listener that is not connected.
func New(c Config) *Listener {
	return &Listener{c: c, notify: notifications{rdb: c.Ledger.Client(), log: c.Log}}
}

// State tells what becomes of keyspace notifications.
func (l *Listener) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.c.Notifications:
		return Off
	case l.ps == nil:
		return Disconnected
	case !l.leader:
		return Standby
	}
	return l.notify.get()
}

// Listen sets what this instance listens to: the messages of the buckets that
// it looks after, and as the leader the keyspace notifications.
func (l *Listener) Listen(ctx context.Context, own []int, leader bool) {
	l.mu.Lock()
	l.own, l.leader = own, leader
	l.mu.Unlock()
	l.sync(ctx)
}

// sync subscribes the connection, if there is one, to what is wanted.
func (l *Listener) sync(ctx context.Context) {
	l.syncing.Lock() // one change after the other, with what is sent for it
	defer l.syncing.Unlock()
	l.mu.Lock()
	ps, leader, want := l.ps, l.leader, l.wanted()
	add, drop := difference(want, l.on), difference(l.on, want)
	if ps != nil {
		l.on = want
	}
	l.mu.Unlock()
	if ps == nil || len(add)+len(drop) == 0 {
		return
	}
	if leader && l.c.Notifications {
		l.notify.ensure(ctx)
	}
	// A failure breaks the connection, and the next one subscribes to all.
	if len(add) > 0 {
		_ = ps.Subscribe(ctx, add...)
	}
	if len(drop) > 0 {
		_ = ps.Unsubscribe(ctx, drop...)
	}
}

// wanted returns the channels to listen to, sorted. The caller holds mu.
func (l *Listener) wanted() []string {
	channels := l.c.Ledger.Channels(l.c.Instance, l.own)
	if l.leader && l.c.Notifications {
		channels = append(channels, eventChannels(l.c.DB)...)
	}
	slices.Sort(channels)
	return channels
}

// Run listens until ctx ends, over as many connections as it takes.
func (l *Listener) Run(ctx context.Context, on Events) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { l.tick(ctx) })

	var backoff time.Duration
	for {
		subscribed, err := l.session(ctx, on)
		if ctx.Err() != nil {
			return
		}
		if subscribed || backoff == 0 {
			backoff = minBackoff
			l.c.Log.Warn("lifecycle: subscription lost, subscribing again", "error", err)
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
// while it is read from at once, with the context of the read: all instances would
// dial in the same moment. With this one it does not, over TLS excepted, where its
// dialler does not heed the context. The read goes by its timeout alone.
var spent = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// session listens on one connection until it breaks or ctx ends.
func (l *Listener) session(ctx context.Context, on Events) (subscribed bool, err error) {
	ps := l.c.Ledger.Client().Subscribe(ctx)
	defer func() { _ = ps.Close() }()
	defer context.AfterFunc(ctx, func() { _ = ps.Close() })()

	l.mu.Lock()
	want := l.wanted()
	l.mu.Unlock()
	if err := ps.Subscribe(ctx, want...); err != nil {
		return false, err
	}
	pending := len(want)
	defer func() {
		l.mu.Lock()
		l.ps, l.on = nil, nil
		l.mu.Unlock()
	}()
	for {
		m, err := ps.ReceiveTimeout(spent, 2*probeInterval)
		if err != nil {
			return subscribed, err
		}
		switch m := m.(type) {
		case *redis.Subscription:
			if m.Kind != "subscribe" {
				continue
			}
			if pending--; pending == 0 {
				subscribed = true
				l.mu.Lock()
				l.ps, l.on = ps, want
				leader := l.leader
				l.mu.Unlock()
				// Only now: while no server answered, none could be asked, and the one
				// that answers may be another than before.
				if leader && l.c.Notifications {
					l.notify.ensure(ctx)
				}
				l.sync(ctx) // with what has changed meanwhile
				on.Subscribed()
			} else if pending < 0 {
				// A channel added later: what was said before its subscription
				// counted may have been missed.
				on.Message(l.c.Ledger.Parse(&redis.Message{Channel: m.Channel}))
			}
		case *redis.Message:
			msg := l.c.Ledger.Parse(m)
			if msg.Kind == ledger.LiveKeyEvent {
				l.notify.heard()
			}
			on.Message(msg)
		}
	}
}

// tick probes the connection and checks the server's setting now and then.
func (l *Listener) tick(ctx context.Context) {
	probe := time.NewTicker(probeInterval)
	defer probe.Stop()
	checked := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-probe.C:
		}
		_ = l.c.Ledger.Probe(ctx, l.c.Instance) // unheard, the connection is replaced
		l.mu.Lock()
		listening := l.leader && l.c.Notifications && l.ps != nil
		l.mu.Unlock()
		switch {
		case !listening:
		case l.notify.unanswered():
			l.notify.ensure(ctx)
		case time.Since(checked) >= checkInterval:
			checked = time.Now()
			l.notify.check(ctx)
		}
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

// errNoSetting is returned for a server that does not tell its setting.
var errNoSetting = errors.New("CONFIG GET notify-keyspace-events returned nothing")
