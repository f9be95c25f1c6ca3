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

// BeginRegistration and FinishRegistration are the two halves of the registration of
// a handler's hook, between which Redis is asked.
func (m *Manager) BeginRegistration(id string) { m.closures.open(id) }

// FinishRegistration returns of which session the end was heard of meanwhile.
func (m *Manager) FinishRegistration(id string, h Hook) (ended string, ok bool) {
	end, ok := m.closures.commit(id, h, nil)
	if end != nil {
		ended = end.ID
	}
	return ended, ok
}

// TellAndAskAll tells the sweep of an end and asks for all sessions, with no sweep
// in between.
func (m *Manager) TellAndAskAll(id string) {
	s := m.started.Load().sweeper
	s.mu.Lock()
	s.named[id] = struct{}{}
	s.all = true
	s.mu.Unlock()
	s.poke()
}

// HasHeardOf reports whether the end of a session with hooks of handlers is known.
func (m *Manager) HasHeardOf(id string) bool {
	m.closures.mu.Lock()
	defer m.closures.mu.Unlock()
	return m.closures.sessions[id].ended != nil
}
