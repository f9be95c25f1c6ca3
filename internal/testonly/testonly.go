// Package testonly lets the tests of this repository set and read what applications must not:
//
//   - Option sets the local clock of a store, and how often its managers do their background
//     work, so that a test need not wait for minutes;
//   - Instance returns the name by which Redis knows a manager;
//   - NewDefault gives a test a default manager of its own.
//
// The tests in suite and faults use the library from outside, as an application does, so they
// cannot reach its unexported names. Package lifecycle therefore sets the functions here when
// it is initialized, in its file testonly.go. The package is internal: applications cannot
// import it, and nothing here is part of the public face.
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
