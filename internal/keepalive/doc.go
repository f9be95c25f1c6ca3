// Package keepalive keeps sessions alive while something runs for them: a handler that takes
// longer than the idle timeout, or what a handler has left running.
//
// # What it does
//
// Hold adds a session, and the function that it returns takes the session away again. While
// at least one holder is left, the session is prolonged in Redis by its idle timeout, each
// time a third of that has passed: one command for a session and a third, however many
// holders it has in this process, at once or one after the other. If one attempt fails, there is time for others. Sessions
// that are due at the same time share a round trip.
//
// A handler that runs is a Running. It becomes a holder when a third of the session's time is
// over, so most handlers cost nothing.
//
// # What it knows of a session
//
// The proof and the timeouts that a holder knew. Another request may rotate the session or
// save other timeouts: then the live key has another name, and the record says which. It is
// read then, which takes two more round trips once. If the idle timeout becomes shorter, a
// third of the old one may be too late: who has shortened it calls Shortened, here and, by a
// message, on the other instances. A session that has ended is dropped: its holders need not
// know.
//
// # States
//
// A session is held from the first Hold to the last release, or until it has ended. Then it is
// remembered until it would have been prolonged, at most a third of its idle timeout. A Keeper
// works from Run until the context of Run ends; sessions that are held then live on as long as
// their time to live says. The absolute deadline of a session limits everything.
//
// # Failures
//
// While Redis is away the sessions of that server are tried again after a ninth of their idle
// timeout, and every second at least. Those of other servers do not wait for them. A process
// that dies prolongs nothing any more. If the message that a timeout is shorter is lost, the
// session may end while it is held.
//
// # What it may touch
//
// The live keys of sessions, through Touch of package ledger. It ends nothing and saves nothing.
package keepalive
