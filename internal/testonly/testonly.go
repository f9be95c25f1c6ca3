// Package testonly gives the tests of this repository what is no option of package
// lifecycle, and no part of its public face.
package testonly

import "time"

// Tuning is what tests set. A zero field leaves the default.
type Tuning struct {
	Now          func() time.Time // the local clock, time.Now by default
	Heartbeat    time.Duration    // pause between an instance's heartbeats
	Sweep        time.Duration    // pause between two queries for the ends of all sessions with hooks of handlers
	DeadInterval time.Duration    // pause between two counts of the dead set
}

// Package lifecycle provides these functions. Their types leave out its own, which
// this package cannot import.
var (
	// Option returns a lifecycle.Option that sets t.
	Option func(t Tuning) any
	// Instance returns the name of a *lifecycle.Manager's instance.
	Instance func(manager any) string
	// NewDefault replaces the default manager, and returns a function that puts the old
	// one back.
	NewDefault func() (restore func())
)
