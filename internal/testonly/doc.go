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
//
// # States
//
// The functions are nil in a program that does not import package lifecycle, and set for good
// in one that does. Restore, which NewDefault returns, puts the old default manager back.
//
// # What happens at each failure
//
// Nothing here returns an error. A function panics while it is nil. Instance panics if it gets
// something that is not a *lifecycle.Manager.
//
// # What it may touch
//
// Option changes the one store that is made with it. NewDefault changes the default manager of the
// whole process, so tests that use it must not run at the same time.
package testonly
