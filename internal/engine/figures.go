package engine

import (
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/listener"
)

// Figures is what an engine has counted since it was started, and what it sees now.
type Figures struct {
	Retried       uint64         // ends whose failed hooks were put off to another attempt
	Buried        uint64         // ends that this instance has put into the dead set
	Dropped       uint64         // ends that this instance has dropped from there
	Dead          int            // ends in the dead sets of this instance's buckets, at the last count
	Overdue       time.Duration  // for how long the oldest end has waited
	Notifications listener.State // of keyspace notifications
	Instances     int            // alive at the last heartbeat
	Deliverers    int            // of these, those that run global hooks
}

// Figures returns the engine's figures without asking Redis.
func (e *Engine) Figures() Figures {
	n := e.delivery.Counts()
	return Figures{
		Retried:       n.Retried,
		Buried:        n.Buried,
		Dropped:       e.dead.dropped.Load(),
		Dead:          int(e.dead.size.Load()),
		Overdue:       e.overdue(),
		Notifications: e.listener.State(),
		Instances:     int(e.instances.Load()),
		Deliverers:    int(e.deliverers.alive.Load()),
	}
}
