// Package testonly opens to the tests of other packages and modules what is no
// option of package lifecycle.
package testonly

import "time"

// Tuning is what tests set. A zero field leaves the default.
type Tuning struct {
	Now       func() time.Time // the local clock, time.Now by default
	Heartbeat time.Duration    // pause between an instance's heartbeats
}

// Option returns a lifecycle.Option that sets t. Package lifecycle provides it.
var Option func(t Tuning) any
