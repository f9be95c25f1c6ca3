// Package closures keeps the hooks that handlers of this process have registered for
// single sessions, the closures, until they run. It keeps them in memory only: they end
// with the process.
//
// # States
//
// A closure is registering until Redis has noted that this instance has closures of the
// session, then held, then one of these, for good: taken, by Take or Close; removed, by
// the function that Register returned; replaced, by a closure with the same key; or
// dropped, by Close. Only one that is taken runs, and it is taken before it runs: each runs
// at most once, whoever reports the end and however often, and a removed one does not run.
//
// A closure that replaces another gets its place in the order. So a resource that was opened
// after it, and may need it, is still released before it.
//
// A session may end while a registration awaits Redis's reply. Take then notes the end,
// and Register returns it: the caller must deliver that end once more, for the closure
// that was not there at the first time.
//
// When the last closure of a live session is removed, Redis must forget that this instance
// has some: Closures calls Unwatch. This happens only if nothing of the session is held or
// registering, and a registration that begins meanwhile waits until Unwatch has returned.
// So Redis gets its note after the other was taken back, and keeps it. An end may come
// meanwhile; Redis allows Unwatch in any state of the session.
//
// Closures is open, then refusing after Refuse, then closed after Close. While it refuses
// it still holds what it has.
//
// # What happens at each failure
//
//   - Redis does not take the note that this instance has closures of the session: the
//     closure is not kept, and Register returns the error. A closure that it was to replace
//     stays.
//   - Register is called after Refuse or Close: the closure is not kept, and Register
//     returns ErrClosed.
//   - Refuse or Close is called after Redis has taken the note and before the closure is
//     kept, as at a shutdown: Register returns ErrClosed too, and calls Unwatch if nothing
//     else of the session is held.
//   - Redis does not answer to Unwatch: the note may stay. Then the end of the session sends
//     this instance a message for nothing, and when the hooks have run, the session's record
//     stays as a tombstone for ten minutes. Or Redis obeys later, and forgets a note of a
//     registration that came after Unwatch: this closure runs at the next query for all
//     sessions, which finds the end without the message.
//
// # What it may touch
//
// Its own memory. It talks to Redis by the functions that it is given only, it starts no
// goroutine, and it calls no closure.
package closures
