package lifecycle

import "github.com/gin-lifecycle/lifecycle/internal/testonly"

func init() {
	testonly.Option = func(t testonly.Tuning) any {
		return Option(func(c *config) error {
			if t.Now != nil {
				c.now = t.Now
			}
			if t.Heartbeat != 0 {
				c.heartbeat = t.Heartbeat
			}
			if t.Sweep != 0 {
				c.sweep = t.Sweep
			}
			if t.DeadInterval != 0 {
				c.deadInterval = t.DeadInterval
			}
			return nil
		})
	}
	testonly.Instance = func(m any) string { return m.(*Manager).instance }
	testonly.NewDefault = func() (restore func()) {
		old := std
		std = newManager()
		return func() { std = old }
	}
}
