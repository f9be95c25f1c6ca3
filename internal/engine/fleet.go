package engine

import (
	"context"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/membership"
	"github.com/gin-lifecycle/lifecycle/internal/preflight"
)

// serversChanged is called with the servers of Redis. Each one is checked when it is
// first seen.
func (e *Engine) serversChanged(ctx context.Context, servers []ledger.Server) {
	e.reapers.SetServers(servers)
	e.listener.SetServers(servers)
	for _, s := range servers {
		if _, known := e.checked[s.Name]; known {
			continue
		}
		e.checked[s.Name] = struct{}{}
		e.others.Go(func() {
			preflight.Run(ctx, preflight.Config{Client: s.Client, Timeout: e.c.RedisTimeout, Log: s.Log(e.c.Log)})
		})
	}
}

// viewChanged is called when instances have come or gone, or this one has given up its
// buckets.
func (e *Engine) viewChanged(ctx context.Context, v membership.View) {
	if e.health.full {
		// Before the reapers forget these buckets.
		e.unattended.set(e.own, e.reapers.Overdue(), e.c.Ledger.Clock(0).Unix())
	} else {
		e.unattended.clear()
	}
	e.own = v.Own
	e.instances.Store(int64(v.Instances))
	e.deliverers.alive.Store(int64(v.Deliverers))
	e.reapers.SetBuckets(v.Own)
	e.listener.SetBuckets(ctx, v.Own, v.Leader)
	e.dead.setBuckets(ctx, v.Own)
}

// dataLost is called when Redis was flushed, or is another server without our data. The
// due-index knows none of the earlier sessions: only closures can still run for them.
func (e *Engine) dataLost() {
	e.c.Log.Warn("lifecycle: all sessions in Redis are gone: Redis was flushed, has lost its data in a restart or failover, or is another server now; " +
		"new sessions work, but for the lost ones only closures (Context.OnSessionDestroyed) in running instances are called; " +
		"find out what has emptied Redis, and release by hand what your OnSessionDestroyed hooks would have released")
	e.lookAtAll()
}

// lookAtAll looks for every end that may have been missed.
func (e *Engine) lookAtAll() {
	e.reapers.LookAtAll()
	e.sweeper.QueryAll()
}

// messageReceived is called with a message of Redis or of another instance. It is a hint
// to look sooner: anybody who may publish can send it, so it is checked in Redis.
func (e *Engine) messageReceived(m ledger.Message) {
	switch m.Kind {
	case ledger.Wake:
		e.reapers.LookAt(m.Bucket)
	case ledger.LiveKeyEvent:
		e.reapers.Suspect(m.ID, m.Hint)
	case ledger.Members:
		e.membership.Poke()
	case ledger.Ended:
		e.sweeper.Query(m.ID)
	case ledger.Shortened:
		e.keeper.Shortened(m.ID)
	}
}
