package engine

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/delivery"
	"github.com/gin-lifecycle/lifecycle/internal/keepalive"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/listener"
	"github.com/gin-lifecycle/lifecycle/internal/membership"
	"github.com/gin-lifecycle/lifecycle/internal/reaper"
	"github.com/gin-lifecycle/lifecycle/internal/sweeper"
	"github.com/gin-lifecycle/lifecycle/internal/topology"
)

// Hooks runs the application's hooks.
type Hooks interface {
	delivery.Runner  // the hooks of an end
	sweeper.Closures // which sessions have closures in this process
	// RunLeft runs the closures that have not run, at the shutdown, and refuses new ones.
	// When ctx has ended it must not wait for them one after the other.
	RunLeft(ctx context.Context)
}

// Config is what an Engine is made of. Everything but Timing must be set.
type Config struct {
	Ledger   *ledger.Ledger
	Instance string
	Hooks    Hooks
	Log      *slog.Logger

	// ServesOnly says that this instance looks after no buckets and claims no ends: other
	// instances run the global hooks. Closures run here as ever.
	ServesOnly bool
	// Hookless says that this instance has no global destroyed hooks: it finishes ends without
	// running any.
	Hookless      bool
	Notifications bool          // use keyspace notifications
	Concurrency   int           // ends whose hooks run at the same time
	Lease         time.Duration // of claims
	LookInterval  time.Duration // longest pause between two looks at a bucket
	Retry         delivery.Retry
	DeadLimit     int           // of the fleet; 0 for none
	RedisTimeout  time.Duration // of the questions at the start
	// OnMismatch is called with the error of a heartbeat that found another number of
	// buckets in Redis, perhaps many times.
	OnMismatch func(error)

	Timing Timing
}

// Timing is how often the parts do what they do at intervals. A zero field stands for the
// default.
type Timing struct {
	Heartbeat    time.Duration // pause between two heartbeats; 1 second
	Sweep        time.Duration // pause between two queries for all sessions with closures; 30 seconds
	DeadInterval time.Duration // pause between two counts of the dead set; 15 seconds
}

func (t Timing) withDefaults() Timing {
	t.Heartbeat = cmp.Or(t.Heartbeat, time.Second)
	t.Sweep = cmp.Or(t.Sweep, 30*time.Second)
	t.DeadInterval = cmp.Or(t.DeadInterval, 15*time.Second)
	return t
}

// Tombstone is how long the record of an ended session is kept, after its hooks have
// run, for other instances that have closures of the session.
const Tombstone = 10 * time.Minute

// Engine is safe for concurrent use. Start makes and starts one.
type Engine struct {
	c          Config
	membership *membership.Membership
	listener   *listener.Listener
	reapers    *reaper.Reapers
	sweeper    *sweeper.Sweeper
	delivery   *delivery.Delivery
	keeper     *keepalive.Keeper
	dead       *deadSet
	unattended unattended

	claims   atomic.Int64 // asked for by End so far: each has a name of its own
	stopping atomic.Bool
	cancel   context.CancelFunc
	finders  sync.WaitGroup // the parts that submit to delivery
	others   sync.WaitGroup // the other parts

	checked    map[string]struct{} // servers that preflight has seen; of topology's goroutine alone
	health     health              // of membership's goroutine alone
	own        []int               // buckets of this instance; of membership's goroutine alone
	instances  atomic.Int64        // alive, this one included
	deliverers deliverers
}

// Start starts an engine. It does not wait for Redis.
func Start(c Config) *Engine {
	c.Timing = c.Timing.withDefaults()
	e := &Engine{c: c, checked: make(map[string]struct{})}
	e.makeParts()
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.delivery.Start()
	for _, run := range []func(context.Context){e.reapers.Run, e.sweeper.Run} {
		e.finders.Go(func() { run(ctx) })
	}
	watch := topology.New(topology.Config{Ledger: c.Ledger, Log: c.Log, Changed: e.serversChanged})
	for _, run := range []func(context.Context){e.listener.Run, watch.Run, e.membership.Run, e.dead.Run, e.keeper.Run} {
		e.others.Go(func() { run(ctx) })
	}
	if c.Ledger.IgnoresDeadlines() {
		c.Log.Warn("lifecycle: the cluster client ignores the deadlines of contexts; while a server does not answer, calls take as long as the client's own timeouts and retries; " +
			"make the client with redis.ClusterOptions{ContextTimeoutEnabled: true}")
	}
	return e
}

func (e *Engine) makeParts() {
	c := e.c
	e.membership = membership.New(membership.Config{
		Ledger:     c.Ledger,
		Instance:   c.Instance,
		ServesOnly: c.ServesOnly,
		Interval:   c.Timing.Heartbeat,
		On: membership.Events{
			Changed:  e.viewChanged,
			DataLost: e.dataLost,
			Beat:     e.heartbeat,
			Ready:    e.ready,
		},
	})
	e.listener = listener.New(listener.Config{
		Ledger:        c.Ledger,
		Instance:      c.Instance,
		Notifications: c.Notifications,
		DB:            c.Ledger.Database(),
		Log:           c.Log,
		On:            listener.Events{Message: e.messageReceived, Subscribed: e.lookAtAll},
	})
	e.delivery = delivery.New(delivery.Config{
		Ledger:    c.Ledger,
		Runner:    c.Hooks,
		Instance:  c.Instance,
		Workers:   c.Concurrency,
		Lease:     c.Lease,
		Tombstone: Tombstone,
		Retry:     c.Retry,
		Log:       c.Log,
	})
	e.reapers = reaper.New(reaper.Config{
		Ledger:   c.Ledger,
		Sink:     e.delivery,
		Instance: c.Instance,
		Interval: c.LookInterval,
		Lease:    c.Lease,
		Log:      c.Log,
	})
	e.sweeper = sweeper.New(sweeper.Config{
		Ledger:   c.Ledger,
		Instance: c.Instance,
		Closures: c.Hooks,
		Submit:   e.delivery.Submit,
		Interval: c.Timing.Sweep,
		Retry:    c.Timing.Heartbeat,
	})
	e.keeper = keepalive.New(c.Ledger)
	e.dead = &deadSet{ledger: c.Ledger, log: c.Log, limit: c.DeadLimit, interval: c.Timing.DeadInterval}
}

// Stop ends the engine, in this order: nothing finds ends any more; claims whose hooks
// have not started are given back; hooks that run are awaited until ctx ends, and their
// contexts end then. Meanwhile the closures that are left run. It returns ctx's error if
// ctx ended first. It must be called once.
func (e *Engine) Stop(ctx context.Context) error {
	e.stopping.Store(true)
	e.cancel()
	var left sync.WaitGroup
	left.Go(func() { e.c.Hooks.RunLeft(ctx) })
	e.finders.Wait()
	err := e.delivery.Drain(ctx)
	left.Wait()
	e.others.Wait()
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// Keeper returns what keeps sessions alive until Stop.
func (e *Engine) Keeper() *keepalive.Keeper { return e.keeper }
