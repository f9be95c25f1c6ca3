package listener

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Config holds what New needs.
type Config struct {
	Ledger        *ledger.Ledger
	Instance      string
	Notifications bool // whether to listen to keyspace notifications where this instance is the leader
	DB            int  // number of the database, which is part of the names of notification channels
	Log           *slog.Logger
	On            Events
}

// Events are the functions that a Listener calls, from its own goroutines and maybe from
// several at the same time.
type Events struct {
	Message    func(ledger.Message) // a message or a notification has come
	Subscribed func()               // a subscription is new: messages may have been missed before
}

// Listener keeps the subscriptions of one instance. Make it with New, and start it with
// Run. Its methods are safe for concurrent use.
type Listener struct {
	c            Config
	messages     *link // the messages of other instances
	outages      *outages
	serversKnown chan struct{} // closed by the first SetServers

	mu        sync.Mutex
	ctx       context.Context // that of Run; nil before Run and after it
	servers   []ledger.Server
	leader    bool
	keyEvents map[string]*keyEvents // by server; empty unless this instance is the leader
	stopping  sync.WaitGroup        // keyEvents that are being stopped
}

// New returns a listener that is not connected.
func New(c Config) *Listener {
	l := &Listener{c: c, outages: newOutages(c.Log), serversKnown: make(chan struct{}), keyEvents: make(map[string]*keyEvents)}
	l.messages = &link{
		server:  l.anyServer,
		outages: l.outages,
		purpose: purpose{
			what:    "the messages of other instances",
			without: "some hooks run later than usual, and closures (Context.OnSessionDestroyed) up to 30 seconds later",
			advice:  "give the user +subscribe and the channels &" + c.Ledger.ChannelPattern() + " (see ACL in docs/deployment.md)",
		},
		wanted:       c.Ledger.Channels(c.Instance, nil),
		onSubscribed: func(context.Context) { c.On.Subscribed() },
		onMessage:    func(m *redis.Message) { c.On.Message(c.Ledger.Parse(m)) },
	}
	return l
}

// anyServer returns a server to receive messages from. Every server of a cluster passes
// them on. A random one is returned each time, in case the last one is away.
func (l *Listener) anyServer() (address string, client redis.UniversalClient) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.servers[rand.N(len(l.servers))]
	return l.c.Ledger.AddressOf(s.Name), s.Client
}

// State reports what has become of keyspace notifications. In a cluster it is the state
// of the server where it is worst.
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
	if len(l.keyEvents) == 0 {
		return Disconnected
	}
	worst := On
	for _, e := range l.keyEvents {
		if s := e.state(); s.severity() > worst.severity() {
			worst = s
		}
	}
	return worst
}

// SetBuckets sets what this instance listens to: the messages about the buckets that it
// looks after, and keyspace notifications if it is the leader.
func (l *Listener) SetBuckets(ctx context.Context, own []int, leader bool) {
	l.messages.setChannels(ctx, l.c.Ledger.Channels(l.c.Instance, own))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leader = leader
	l.updateKeyEvents()
}

// SetServers sets which servers there are, at least one. Nothing is received before it has
// been called.
func (l *Listener) SetServers(servers []ledger.Server) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.servers == nil {
		close(l.serversKnown)
	}
	l.servers = servers
	l.updateKeyEvents()
}

// updateKeyEvents starts listening to the notifications of new servers and stops listening
// to those of servers that are gone. Only the leader listens to any. The caller holds mu.
func (l *Listener) updateKeyEvents() {
	wanted := make(map[string]ledger.Server)
	if l.ctx != nil && l.leader && l.c.Notifications {
		for _, s := range l.servers {
			wanted[s.Name] = s
		}
	}
	for name, e := range l.keyEvents {
		if s, still := wanted[name]; still && s.Client == e.server.Client {
			delete(wanted, name)
			continue
		}
		delete(l.keyEvents, name)
		goesOn := l.ctx != nil && l.ctx.Err() == nil
		l.stopping.Go(func() {
			if e.stop(); goesOn {
				l.outages.stopped(e.link)
			}
		})
	}
	for name, s := range wanted {
		e := newKeyEvents(s, l.c.Ledger.AddressOf(s.Name), l.c, l.outages)
		e.start(l.ctx)
		l.keyEvents[name] = e
	}
}

// Run listens until ctx ends. It begins when SetServers has been called.
func (l *Listener) Run(ctx context.Context) {
	select {
	case <-l.serversKnown:
	case <-ctx.Done():
		return
	}
	l.mu.Lock()
	l.ctx = ctx
	l.updateKeyEvents()
	l.mu.Unlock()
	l.messages.run(ctx)
	l.mu.Lock()
	l.ctx = nil
	l.updateKeyEvents()
	l.mu.Unlock()
	l.stopping.Wait()
}
