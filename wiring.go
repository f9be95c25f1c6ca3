package lifecycle

import (
	"github.com/gin-lifecycle/lifecycle/internal/delivery"
	"github.com/gin-lifecycle/lifecycle/internal/engine"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/runner"
)

// The packages below know no options: here the values of a manager's options go to them.

// runnerConfig is what calls the hooks of a manager.
func runnerConfig(store *Store, c *managerConfig, instance string, created, destroyed []Hook) runner.Config[*Session] {
	return runner.Config[*Session]{
		Ledger:    store.ledger,
		Instance:  instance,
		Created:   unnamed(created),
		Destroyed: unnamed(destroyed),
		Picture: func(e ledger.End) (s *Session, reason string) {
			s = endedSession(store.config.codec, e)
			return s, string(s.Reason)
		},
		CreatedRequired: c.required,
		Timeout:         c.hookTimeout,
		Concurrency:     c.concurrency,
		RedisTimeout:    store.config.redisTimeout,
		ShutdownReason:  string(ReasonShutdown),
		Log:             c.logger(),
	}
}

func unnamed(hooks []Hook) []runner.Hook[*Session] {
	out := make([]runner.Hook[*Session], len(hooks))
	for i, h := range hooks {
		out[i] = h
	}
	return out
}

// engineConfig is what runs beside the requests of a manager.
func engineConfig(store *Store, c *managerConfig, instance string, hooks engine.Hooks, onMismatch func(error)) engine.Config {
	test := store.tuning
	return engine.Config{
		Ledger:        store.ledger,
		Instance:      instance,
		Hooks:         hooks,
		Log:           c.logger(),
		ServesOnly:    c.servesOnly,
		Notifications: c.notifications,
		Concurrency:   c.concurrency,
		Lease:         c.lease,
		LookInterval:  c.lookInterval,
		Retry:         delivery.Retry{Attempts: c.maxAttempts, Min: c.minBackoff, Max: c.maxBackoff},
		DeadLimit:     c.deadLimit,
		RedisTimeout:  store.config.redisTimeout,
		OnMismatch:    onMismatch,
		Timing: engine.Timing{
			Heartbeat:    test.Heartbeat,
			Sweep:        test.Sweep,
			DeadInterval: test.DeadInterval,
		},
	}
}
