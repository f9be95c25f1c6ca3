// Package redisproc starts real Redis processes on loopback, for tests and benchmarks:
// servers, Sentinel and clusters. Package redistest gives them to tests; this package does
// not import testing.
//
// # States of a server
//
// A Server is running, paused, or ended. Pause stops the process, so that the server keeps
// its connections and does not answer; Resume lets it go on. Kill and Stop end the process,
// and Restart starts it again with its files. Whether its data survives depends on its
// arguments: by default nothing is written to disk.
//
// # What happens at each failure
//
//   - redis-server is not installed: the error is exec.ErrNotFound.
//   - Another process takes the port: the start is tried again with another port, five times
//     at most.
//   - A server does not answer, or a cluster does not get well: the error comes after 30
//     seconds and says what was missing. What was started is stopped.
//   - This process is killed: all servers end with it.
//
// # What it may touch
//
// The processes that it has started, and files below the directories that it was given. Each
// process has one goroutine, which waits for its end.
package redisproc
