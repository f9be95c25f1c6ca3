// Package preflight checks, once at the start, how a Redis server is set up. It logs
// any setting with which the library cannot keep its guarantees. It changes nothing,
// and nothing waits for it: the application serves requests meanwhile.
//
// # What it checks
//
//   - The version. Before 6.2 Redis lacks commands that requests need.
//   - The eviction policy. With an allkeys-* policy a full Redis may delete any key, and
//     then hooks are lost.
//   - Persistence. A server that writes nothing to disk loses all sessions, and the hooks
//     that have not run yet, when it restarts.
//
// Each of these is logged in one line, with what it means and what to do about it. A
// server that is set up well is not mentioned.
//
// # What happens at each failure
//
//   - The server does not answer, or says that it will answer later (it is loading its
//     data, is busy, or has too many clients): Run asks again after a pause, which grows
//     up to about 15 seconds, until there is an answer or the context ends. It logs
//     nothing: the heartbeat already logs that Redis is away.
//   - The server refuses the client's user name or password: as above.
//   - The server refuses INFO, as a user with few rights sees it: nothing is known about
//     the server, so nothing is logged, and Run returns.
//   - The server refuses CONFIG, as many managed offerings do: only persistence cannot be
//     judged.
//   - A server of a cluster goes away for good: Run asks until its context ends.
//
// # What it may touch
//
// It sends INFO, and CONFIG GET save where the append-only file is off. It reads and
// writes no keys. Run starts no goroutine; the caller runs it in one, one for each
// server.
package preflight
