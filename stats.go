package lifecycle

import (
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/listener"
)

// Stats is what a manager has counted since it was made, and what it sees now.
type Stats struct {
	// Created counts the sessions whose created hooks ran on this instance.
	Created uint64
	// Ended counts, by reason, the ends whose hooks this instance was the first to start.
	// Beyond 64 different reasons the rest is counted under "other".
	Ended map[Reason]uint64

	HooksRun     uint64 // calls of hooks of all kinds
	HooksFailed  uint64 // calls that returned an error, panicked or ran out of time
	HooksRetried uint64 // how often an end was put off to another attempt because hooks failed
	HooksHung    int    // hooks that ignore their context and have not returned yet
	Closures     int    // closures (hooks of Context.OnSessionDestroyed) that have not run yet

	// Dead is the number of ends in the dead set, in the part of it that this instance
	// looks after. Add the figures of all instances to get the number of the fleet. The
	// figure is up to 15 seconds old.
	Dead int
	// Buried counts the ends that this instance has put into the dead set.
	Buried uint64
	// Dropped counts the ends that this instance has dropped from the dead set because it
	// was over the limit of WithDeadLimit. Their hooks will not run.
	Dropped uint64

	// Overdue is for how long the oldest ended session has been waiting to be handled,
	// among those that this instance looks after; 0 if none is waiting. It grows while the
	// instance cannot keep up, or Redis is away. While hung hooks keep the instance from
	// handling ended sessions, the figure is about the sessions that the instance looked
	// after before; 0 then means that other instances handle them.
	Overdue time.Duration

	// Notifications says whether the instance gets keyspace notifications.
	Notifications NotificationState
	// Instances is the number of instances that are alive, this one included; 0 before
	// the first heartbeat. While Redis is away, or hung hooks keep this instance from
	// handling ended sessions, it is the number at the last heartbeat.
	Instances int
	// Deliverers is how many of these run destroyed hooks: those without WithoutDelivery. If
	// it is 0 for more than a moment, ends wait until such an instance starts.
	Deliverers int
	// Delivering says whether this instance runs destroyed hooks: it has been started, and
	// WithoutDelivery is not set.
	Delivering bool
}

// NotificationState says whether an instance gets Redis's keyspace notifications.
type NotificationState string

// Notification states.
const (
	NotificationsOff          NotificationState = "off"          // WithNotifications(false), or the manager has not been started
	NotificationsOn           NotificationState = "on"           // this instance listens, and the server sends them
	NotificationsStandby      NotificationState = "standby"      // another instance listens for the fleet
	NotificationsMissing      NotificationState = "missing"      // somebody has changed the server's setting
	NotificationsRefused      NotificationState = "refused"      // the server refuses CONFIG GET and has sent no notification yet, or it refuses CONFIG SET and flags are missing
	NotificationsDisconnected NotificationState = "disconnected" // there is no subscription: it is broken, Redis does not permit it, or the instance has just started
)

var notificationStates = map[listener.State]NotificationState{
	listener.Off:          NotificationsOff,
	listener.On:           NotificationsOn,
	listener.Standby:      NotificationsStandby,
	listener.Missing:      NotificationsMissing,
	listener.Refused:      NotificationsRefused,
	listener.Disconnected: NotificationsDisconnected,
}

// Stats returns the manager's figures. It does not talk to Redis.
func (m *Manager) Stats() Stats {
	s := Stats{Ended: make(map[Reason]uint64), Notifications: NotificationsOff}
	m.mu.Lock()
	r := m.runner
	m.mu.Unlock()
	if r != nil {
		f := r.Figures()
		s.Created, s.HooksRun, s.HooksFailed, s.HooksHung, s.Closures = f.Created, f.Run, f.Failed, f.Hung, f.Closures
		for reason, n := range f.Ended {
			s.Ended[Reason(reason)] = n
		}
	}
	if e := m.engine.Load(); e != nil {
		f := e.Figures()
		s.HooksRetried, s.Buried, s.Dropped = f.Retried, f.Buried, f.Dropped
		s.Dead, s.Overdue, s.Instances = f.Dead, f.Overdue, f.Instances
		s.Deliverers, s.Delivering = f.Deliverers, !m.config.servesOnly
		s.Notifications = notificationStates[f.Notifications]
	}
	return s
}
