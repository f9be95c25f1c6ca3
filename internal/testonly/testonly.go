package testonly

import "time"

// Tuning is what a test can set. A field that is zero keeps the default.
type Tuning struct {
	Now          func() time.Time // the local clock; the default is time.Now
	Heartbeat    time.Duration    // pause between two heartbeats of an instance
	Sweep        time.Duration    // pause between two queries for the ends of all sessions with closures
	DeadInterval time.Duration    // pause between two counts of the dead set
}

// This package cannot import package lifecycle, so the types of lifecycle are any here.
var (
	// Option returns a lifecycle.Option that sets t.
	Option func(t Tuning) any
	// Instance returns the name of a *lifecycle.Manager's instance.
	Instance func(manager any) string
	// NewDefault replaces the default manager, and returns a function that puts the old
	// one back.
	NewDefault func() (restore func())
)
