package lifecycle

import (
	"time"
)

// Options that are for tests only.

// WithClock makes the store believe that now is the local time.
func WithClock(now func() time.Time) Option {
	return func(c *config) error { c.now = now; return nil }
}

// WithHeartbeat sets the pause between heartbeats.
func WithHeartbeat(d time.Duration) Option {
	return func(c *config) error { c.heartbeat = d; return nil }
}

// WithSweep sets the pause between two sweeps of the closures.
func WithSweep(d time.Duration) Option {
	return func(c *config) error { c.sweep = d; return nil }
}

// WithDeadInterval sets the pause between two counts of the dead set.
func WithDeadInterval(d time.Duration) Option {
	return func(c *config) error { c.deadInterval = d; return nil }
}

// Instance returns the manager's instance.
func (m *Manager) Instance() string { return m.instance }

// NewDefault replaces the default manager, and returns how to put it back.
func NewDefault() (restore func()) {
	old := std
	std = newManager()
	return func() { std = old }
}
