package lifecycle

import (
	"cmp"

	"github.com/gin-lifecycle/lifecycle/internal/testonly"
)

// tuning is an option of NewStore. Only the tests of this repository can make one, with
// testonly.Option.
type tuning testonly.Tuning

func (t tuning) apply(s *settings) error { //nolint:unparam // an Option may fail, this one does not
	if t.Now != nil {
		s.tuning.Now = t.Now
	}
	s.tuning.Heartbeat = cmp.Or(t.Heartbeat, s.tuning.Heartbeat)
	s.tuning.Sweep = cmp.Or(t.Sweep, s.tuning.Sweep)
	s.tuning.DeadInterval = cmp.Or(t.DeadInterval, s.tuning.DeadInterval)
	return nil
}

// init gives the tests the functions that package testonly declares.
func init() {
	testonly.Option = func(t testonly.Tuning) any { return tuning(t) }
	testonly.Instance = func(m any) string { return m.(*Manager).instance }
	testonly.NewDefault = func() (restore func()) {
		old := std
		std = newDefault()
		return func() { std = old }
	}
}
