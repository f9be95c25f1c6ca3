package lifecycle

import (
	"context"
	"sync"

	"github.com/gin-lifecycle/lifecycle/internal/delivery"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/listener"
	"github.com/gin-lifecycle/lifecycle/internal/membership"
	"github.com/gin-lifecycle/lifecycle/internal/preflight"
	"github.com/gin-lifecycle/lifecycle/internal/reaper"
	"github.com/gin-lifecycle/lifecycle/internal/topology"
)

// background is what runs beside the requests:
//
//	topology   -> which servers -> reapers, listener
//	membership -> which buckets -> reapers, listener
//	listener   -> hints         -> reapers, sweep
//	reapers    -> claims        -> delivery -> the manager's hooks
type background struct {
	m          *Manager
	membership *membership.Membership
	listener   *listener.Listener
	reapers    *reaper.Reapers
	delivery   *delivery.Delivery

	sweeper *sweeper

	cancel  context.CancelFunc
	finders sync.WaitGroup // what submits to delivery
	wg      sync.WaitGroup // the rest

	checked map[string]struct{} // servers, by topology's goroutine alone

	mu        sync.Mutex
	instances int
	own       []int
	dead      int64
	deadError map[int]struct{} // buckets whose dead sets are said to be overwritten
	beatError bool
	full      bool // of hung hooks
	givenUp   givenUp
}

func startBackground(m *Manager) *background {
	c, l := &m.config, m.store.ledger
	bg := &background{m: m, checked: make(map[string]struct{})}
	bg.membership = membership.New(membership.Config{
		Ledger:   l,
		Instance: m.instance,
		Interval: c.heartbeat,
		On: membership.Events{
			Changed:  bg.moved,
			DataLost: bg.lost,
			Beat:     bg.beat,
			Ready:    bg.able,
		},
	})
	bg.listener = listener.New(listener.Config{
		Ledger:        l,
		Instance:      m.instance,
		Notifications: c.notifications,
		DB:            l.Database(),
		Log:           m.log,
		On:            listener.Events{Message: bg.heard, Subscribed: bg.subscribed},
	})
	bg.delivery = delivery.New(delivery.Config{
		Ledger:    l,
		Runner:    runner{m},
		Instance:  m.instance,
		Workers:   c.concurrency,
		Lease:     c.lease,
		Tombstone: c.tombstone,
		Retry:     delivery.Retry{Attempts: c.maxAttempts, Min: c.minBackoff, Max: c.maxBackoff},
		Log:       m.log,
	})
	bg.reapers = reaper.New(reaper.Config{
		Ledger:   l,
		Sink:     bg.delivery,
		Instance: m.instance,
		Interval: c.lookInterval,
		Lease:    c.lease,
		Log:      m.log,
	})

	bg.sweeper = newSweeper(m, bg.delivery)

	ctx, cancel := context.WithCancel(context.Background())
	bg.cancel = cancel
	bg.delivery.Start()
	bg.finders.Go(func() { bg.reapers.Run(ctx) })
	bg.wg.Go(func() { bg.listener.Run(ctx) })
	bg.wg.Go(func() {
		topology.New(topology.Config{Ledger: l, Log: m.log, Changed: bg.arranged}).Run(ctx)
	})
	bg.wg.Go(func() { bg.membership.Run(ctx) })
	if l.IgnoresDeadlines() {
		m.log.Warn("lifecycle: the cluster's client ignores the deadlines of contexts: with a server that does not answer, calls take as long as its own timeouts and retries; make it with redis.ClusterOptions{ContextTimeoutEnabled: true}")
	}
	bg.finders.Go(func() { bg.sweeper.run(ctx) })
	bg.wg.Go(func() { bg.watchDead(ctx) })
	return bg
}

// arranged: these are the servers. What is said for the start holds for each server,
// when it is first seen.
func (bg *background) arranged(ctx context.Context, shards []ledger.Shard) {
	bg.reapers.SetServers(shards)
	bg.listener.SetServers(shards)
	for _, s := range shards {
		if _, known := bg.checked[s.Name]; known {
			continue
		}
		bg.checked[s.Name] = struct{}{}
		log := s.Log(bg.m.log)
		bg.wg.Go(func() {
			preflight.Run(ctx, preflight.Config{Client: s.Client, Timeout: bg.m.config.redisTimeout, Log: log})
		})
	}
}

func (bg *background) moved(ctx context.Context, v membership.View) {
	overdue := bg.reapers.Overdue() // before it forgets
	bg.mu.Lock()
	bg.givenUp = givenUp{}
	if bg.full {
		bg.givenUp.giveUp(bg.own, overdue, bg.m.store.ledger.Clock(0).Unix())
	}
	bg.instances, bg.own = len(v.Instances), v.Own
	bg.mu.Unlock()
	bg.reapers.SetBuckets(v.Own)
	bg.listener.SetBuckets(ctx, v.Own, v.Leader)
	bg.countDead(ctx)
}

// lost: Redis was flushed, or is another one. The due-index knows nothing of what
// was before; closures of living instances are all that is left.
func (bg *background) lost() {
	bg.m.log.Warn("lifecycle: the sessions in Redis are gone, flushed or replaced by another server's; only OnSessionDestroyed hooks of handlers still run for them")
	bg.reapers.LookAtAll()
	bg.sweeper.askAll()
}

func (bg *background) beat(err error) {
	bg.mu.Lock()
	was := bg.beatError
	bg.beatError = err != nil
	bg.mu.Unlock()
	switch {
	case bg.m.mismatch(err):
	case ledger.IsOverwritten(err) && !was:
		bg.m.log.Error("lifecycle: the heartbeat fails, a key of the whole fleet was overwritten with something else; delete it", "error", err)
	case err != nil && !was:
		bg.m.log.Warn("lifecycle: the heartbeat fails, Redis is away; destroyed hooks wait until it is back", "error", err)
	case err == nil && was:
		bg.m.log.Info("lifecycle: the heartbeat works again")
		bg.reapers.LookAtAll()
	}
}

// able reports whether this instance can run hooks. While as many have been left
// behind as may run, others look after its buckets.
func (bg *background) able(ctx context.Context) bool {
	full := bg.m.caller.Hung() >= bg.m.config.concurrency
	bg.mu.Lock()
	was := bg.full
	bg.full = full
	bg.mu.Unlock()
	switch {
	case full && !was:
		bg.m.log.Error("lifecycle: too many hooks ignore their context and do not return; this instance takes no more ends until some have, others take over",
			"hung", bg.m.caller.Hung())
	case !full && was:
		bg.m.log.Info("lifecycle: hung hooks have returned; this instance takes ends again")
	}
	if full {
		bg.readGivenUp(ctx)
	}
	return !full
}

func (bg *background) heard(msg ledger.Message) {
	switch msg.Kind {
	case ledger.Wake:
		bg.reapers.LookAt(msg.Bucket)
	case ledger.LiveKeyEvent:
		bg.reapers.Suspect(msg.ID, msg.Hint)
	case ledger.Members:
		bg.membership.Poke()
	case ledger.Ended:
		// Whether it is true, and with what reason and data, Redis knows.
		bg.sweeper.ask(msg.ID)
	}
}

func (bg *background) subscribed() {
	bg.reapers.LookAtAll()
	bg.sweeper.askAll()
}
