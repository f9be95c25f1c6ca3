// Package closures keeps the hooks that handlers of this process have registered for
// single sessions, the closures, until they run. It keeps them in memory only: they end
// with the process.
//
// # States
//
// A closure is registering until Redis has noted that this instance has closures of the
// session, then held, then taken. Take and Close take closures out before they run, so
// each runs at most once, whoever reports the end and however often.
//
// A session may end while a registration awaits Redis's reply. Take then notes the end,
// and Register returns it: the caller must deliver that end once more, for the closure
// that was not there at the first time.
//
// Closures is open, then refusing after Refuse, then closed after Close. While it refuses
// it still holds what it has.
//
// # What happens at each failure
//
//   - Redis does not take the note that this instance has closures of the session: the
//     closure is not kept, and Register returns the error.
//   - Register is called after Refuse or Close: the closure is not kept, and Register
//     returns ErrClosed.
//   - Refuse or Close is called after Redis has taken the note and before the closure is
//     kept, as at a shutdown: Register returns ErrClosed too, but in Redis this instance
//     stays noted as one with closures of the session. Unless it has held another closure
//     of this session, nothing removes the note: when the hooks of the ended session have
//     run, its record stays as a tombstone for ten minutes.
//
// # What it may touch
//
// Its own memory. It does not talk to Redis itself, it starts no goroutine, and it calls no
// closure.
package closures
