// Package listener hears what Redis and the other instances say. All of it is
// hints: a message that never comes delays something and loses nothing.
package listener

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Config is what a Listener is made of.
type Config struct {
	Ledger        *ledger.Ledger
	Instance      string
	Notifications bool // listen to keyspace notifications, where this instance is the leader
	DB            int  // database number, part of the events' channel names
	Log           *slog.Logger
	On            Events
}

// Events is what a Listener reports, from goroutines of its own.
type Events struct {
	Message    func(ledger.Message)
	Subscribed func() // messages may have been missed before
}

// Listener keeps the subscriptions of one instance: one to the messages of other
// instances, which every server of a cluster passes on, and as the leader one to
// the notifications of each server. Make it with New.
type Listener struct {
	c        Config
	messages *link
	arranged chan struct{} // closed by the first SetServers

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before it, and after it
	servers []ledger.Shard
	leader  bool
	events  map[string]*events // by server; of the leader only
	wg      sync.WaitGroup     // of those that end
}

// New returns a listener that is not connected.
func New(c Config) *Listener {
	l := &Listener{c: c, arranged: make(chan struct{}), events: make(map[string]*events)}
	l.messages = &link{
		server: l.anyServer,
		log:    c.Log,
		want:   c.Ledger.Channels(c.Instance, nil),
		opened: func(context.Context) { c.On.Subscribed() },
		heard:  func(m *redis.Message) { c.On.Message(c.Ledger.Parse(m)) },
	}
	return l
}

// anyServer returns a server to hear messages from. In a cluster each passes them
// on; another one is tried with each connection.
func (l *Listener) anyServer() redis.UniversalClient {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.servers[rand.N(len(l.servers))].Client
}

// State tells what becomes of keyspace notifications, on the server where it is
// worst.
func (l *Listener) State() State {
	if !l.c.Notifications {
		return Off
	}
	if !l.messages.connected() {
		return Disconnected
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leader {
		return Standby
	}
	if len(l.events) == 0 {
		return Disconnected
	}
	worst := On
	for _, e := range l.events {
		if s := e.state(); s.rank() > worst.rank() {
			worst = s
		}
	}
	return worst
}

// SetBuckets sets what this instance listens to: the messages of the buckets that it
// looks after, and as the leader the keyspace notifications.
func (l *Listener) SetBuckets(ctx context.Context, own []int, leader bool) {
	l.messages.listen(ctx, l.c.Ledger.Channels(l.c.Instance, own))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leader = leader
	l.arrange()
}

// SetServers sets which servers there are.
func (l *Listener) SetServers(servers []ledger.Shard) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.servers == nil {
		close(l.arranged)
	}
	l.servers = servers
	l.arrange()
}

// arrange listens to the notifications of the servers that there are, and to no
// others. The caller holds mu.
func (l *Listener) arrange() {
	wanted := make(map[string]ledger.Shard)
	if l.ctx != nil && l.leader && l.c.Notifications {
		for _, s := range l.servers {
			wanted[s.Name] = s
		}
	}
	for name, e := range l.events {
		if s, still := wanted[name]; still && s.Client == e.shard.Client {
			delete(wanted, name)
			continue
		}
		delete(l.events, name)
		l.wg.Go(e.stop)
	}
	for name, s := range wanted {
		e := newEvents(s, l.c.DB, s.Log(l.c.Log), l.c.On, l.c.Ledger.Parse)
		e.start(l.ctx)
		l.events[name] = e
	}
}

// Run listens until ctx ends, from when it is known which servers there are.
func (l *Listener) Run(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-l.arranged:
	}
	l.mu.Lock()
	l.ctx = ctx
	l.arrange()
	l.mu.Unlock()
	l.messages.run(ctx)
	l.mu.Lock()
	l.ctx = nil
	l.arrange()
	l.mu.Unlock()
	l.wg.Wait()
}

// errNoSetting is returned for a server that does not tell its setting.
var errNoSetting = errors.New("CONFIG GET notify-keyspace-events returned nothing")
