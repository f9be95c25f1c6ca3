package suite_test

import (
	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/testonly"
)

// tuned returns an option that sets what applications cannot set, for instance the
// pause between heartbeats.
func tuned(t testonly.Tuning) lifecycle.Option { return testonly.Option(t).(lifecycle.Option) }

// instance returns the name of a manager's instance, which is part of its channel's name.
func instance(m *lifecycle.Manager) string { return testonly.Instance(m) }
