// Package sweeper finds out which of the sessions that have closures in this process
// have ended on another instance, so that the closures run here.
//
// # When it queries Redis
//
// The instance that handles an end sends a message to the other instances that have
// closures of the session; Query queries that one session. A message may be lost, so
// QueryAll queries every session: after each new subscription, when the data in Redis was
// lost, and at a regular interval. A lost message delays closures and loses none.
//
// # States
//
// A session is pending from Query or QueryAll until Redis has answered for it. The answer
// is one of three: no end of the session is known, this instance has the claim of its end,
// or the session has ended and this instance does not have the claim. Only the last one is
// submitted.
//
// # What happens at each failure
//
// Sessions of a server that does not answer are queried again after Config.Retry. Each
// server of a cluster is queried by itself: one that does not answer delays no other.
//
// # What it may touch
//
// The package reads from Redis and changes nothing there. It knows the IDs of sessions
// and not their closures; what has ended it hands to Config.Submit. Run uses its own
// goroutine, and one for each server while it queries.
package sweeper
