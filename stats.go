package lifecycle

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/listener"
)

// Stats is what a manager has counted since it was made, and what it sees at
// the moment.
type Stats struct {
	// Created counts the sessions whose created hooks ran here.
	Created uint64
	// Ended counts, by reason, the ends that this instance was the first to claim.
	Ended map[Reason]uint64

	HooksRun     uint64 // calls of hooks of all kinds
	HooksFailed  uint64 // of these, errors, panics and time-outs
	HooksRetried uint64 // ends whose failed hooks were put off to another attempt
	HooksHung    int    // hooks that ignore their context and have not returned yet
	Closures     int    // hooks registered by handlers that have not run yet

	// Dead counts the ends in the dead set of the buckets that this instance
	// looks after: add them up over the fleet. It is up to 15 seconds old.
	Dead int
	// Buried counts the ends that this instance has put there.
	Buried uint64
	// Dropped counts the ends that this instance has dropped from there because
	// they were beyond the limit of WithDeadLimit: their hooks will not run.
	Dropped uint64

	// Overdue is for how long the oldest end of this instance's buckets has been
	// waiting; 0 if none is known. It grows while the instance cannot keep up or
	// Redis is away. While hung hooks keep the instance from taking ends its buckets
	// are those that it had before: 0 says that others look after them.
	Overdue time.Duration

	// Notifications tells what becomes of keyspace notifications.
	Notifications NotificationState
	// Instances is how many instances are alive, this one included; 0 before the
	// first heartbeat. While Redis is away, or hung hooks keep this instance from
	// taking ends, it is what the last heartbeat told.
	Instances int
}

// NotificationState tells what becomes of Redis's keyspace notifications.
type NotificationState string

// Notification states.
const (
	NotificationsOff          NotificationState = "off"          // by WithNotifications(false), or not started
	NotificationsOn           NotificationState = "on"           // this instance listens, the server sends
	NotificationsStandby      NotificationState = "standby"      // another instance listens
	NotificationsMissing      NotificationState = "missing"      // the server's setting was changed since
	NotificationsRefused      NotificationState = "refused"      // the server refuses CONFIG and has sent nothing yet
	NotificationsDisconnected NotificationState = "disconnected" // no subscription at the moment
)

var notificationStates = map[listener.State]NotificationState{
	listener.Off:          NotificationsOff,
	listener.On:           NotificationsOn,
	listener.Standby:      NotificationsStandby,
	listener.Missing:      NotificationsMissing,
	listener.Refused:      NotificationsRefused,
	listener.Disconnected: NotificationsDisconnected,
}

// counters is the counted half of Stats.
type counters struct {
	created, hooksRun, hooksFailed, dropped atomic.Uint64

	mu    sync.Mutex
	ended map[Reason]uint64
}

func (c *counters) count(r Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = make(map[Reason]uint64)
	}
	// Custom reasons are the application's: it may use very many.
	if _, known := c.ended[r]; !known && len(c.ended) >= maxReasons {
		r = "other"
	}
	c.ended[r]++
}

// maxReasons bounds the reasons that are counted apart.
const maxReasons = 64

// Stats returns the manager's figures without talking to Redis.
func (m *Manager) Stats() Stats {
	s := Stats{
		Created:       m.stats.created.Load(),
		Ended:         make(map[Reason]uint64),
		HooksRun:      m.stats.hooksRun.Load(),
		HooksFailed:   m.stats.hooksFailed.Load(),
		HooksHung:     m.caller.Hung(),
		Closures:      m.closures.count(),
		Dropped:       m.stats.dropped.Load(),
		Notifications: NotificationsOff,
	}
	m.stats.mu.Lock()
	for r, n := range m.stats.ended {
		s.Ended[r] = n
	}
	m.stats.mu.Unlock()
	if bg := m.started.Load(); bg != nil {
		n := bg.delivery.Counts()
		s.HooksRetried, s.Buried = n.Retried, n.Buried
		s.Overdue = bg.overdue()
		s.Notifications = notificationStates[bg.listener.State()]
		bg.mu.Lock()
		s.Instances, s.Dead = bg.instances, int(bg.dead)
		bg.mu.Unlock()
	}
	return s
}
