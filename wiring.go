package lifecycle

import (
	"github.com/gin-lifecycle/lifecycle/internal/delivery"
	"github.com/gin-lifecycle/lifecycle/internal/engine"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/runner"
)

// runnerConfig is what calls the manager's hooks.
func (m *Manager) runnerConfig() runner.Config[*Session] {
	c := &m.config
	return runner.Config[*Session]{
		Ledger:    m.store.ledger,
		Instance:  m.instance,
		Created:   unnamed(m.created),
		Destroyed: unnamed(m.destroyed),
		Picture: func(e ledger.End) (s *Session, reason string) {
			s = endedSession(m.store.config.codec, e)
			return s, string(s.Reason)
		},
		CreatedRequired: c.required,
		Timeout:         c.hookTimeout,
		Concurrency:     c.concurrency,
		RedisTimeout:    m.store.config.redisTimeout,
		ShutdownReason:  string(ReasonShutdown),
		Log:             m.log,
	}
}

func unnamed(hooks []Hook) []runner.Hook[*Session] {
	out := make([]runner.Hook[*Session], len(hooks))
	for i, h := range hooks {
		out[i] = h
	}
	return out
}

// engineConfig is what runs beside the requests.
func (m *Manager) engineConfig() engine.Config {
	c, test := &m.config, m.store.tuning
	return engine.Config{
		Ledger:        m.store.ledger,
		Instance:      m.instance,
		Hooks:         m.runner,
		Log:           m.log,
		Notifications: c.notifications,
		Concurrency:   c.concurrency,
		Lease:         c.lease,
		LookInterval:  c.lookInterval,
		Retry:         delivery.Retry{Attempts: c.maxAttempts, Min: c.minBackoff, Max: c.maxBackoff},
		DeadLimit:     c.deadLimit,
		RedisTimeout:  m.store.config.redisTimeout,
		OnMismatch:    m.logMismatch,
		Timing: engine.Timing{
			Heartbeat:    test.Heartbeat,
			Sweep:        test.Sweep,
			DeadInterval: test.DeadInterval,
		},
	}
}
