// Package runner calls the application's hooks.
//
// # Which hooks, and when
//
//   - Created hooks run in the request that begins a session (Created).
//   - At the end of a session Deliver runs, in this order, the closures that this process
//     holds for it, last registered first but those with closures.Options.First before the
//     others, and then the global destroyed hooks in the order of their registration.
//   - At the shutdown RunLeft runs the closures that are still held, except those with
//     closures.Options.NotAtShutdown, which it drops.
//
// An end reaches Deliver as a claim or as news. A claim is this instance's right, for
// the time of its lease, to run the global hooks of the end; no other instance has it at
// the same time. News says that another instance has the claim: only closures run.
//
// Within a process the destroyed hooks of a session wait for its created hooks: see
// Beginning.
//
// # States
//
// A Runner accepts closures from New until Refuse or RunLeft. After Refuse it still holds
// the closures that it has, and Deliver and RunLeft run them. After RunLeft it holds none.
// Created hooks and Deliver work in all states.
//
// A session is beginning from Beginning until finish is called; its destroyed hooks wait
// here. A closure is held until Deliver or RunLeft takes it; see package closures.
//
// # Failures
//
// A hook that returns an error, panics or ignores its context stops no other hook; see
// package hook. Its failure is logged and counted here. The global hooks that failed are
// named in the Outcome, and delivery calls Deliver again later, with a note of those that
// have succeeded (done.go). Closures are not called again.
//
// If the lease is over before a global hook starts, that hook does not start: another
// instance may run it by now. Closures do not depend on the claim. They run to their end
// even if the lease is lost.
//
// # What it may touch
//
// The package reads records from Redis at a shutdown, sends messages to instances that
// hold closures of an ended session, and removes this instance from the list of those
// that do. It changes no state of a session.
package runner
