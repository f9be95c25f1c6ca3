package suite_test

import (
	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
)

// What applications cannot set or read, and what some tests need.

// tuned returns an option that sets, for instance, the pause between two heartbeats.
func tuned(t testonly.Tuning) lifecycle.Option { return testonly.Option(t).(lifecycle.Option) }

// instance returns the name of a manager's instance. The channel of the instance is
// named after it.
func instance(m *lifecycle.Manager) string { return testonly.Instance(m) }
