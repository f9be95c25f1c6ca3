// Package redistest gives tests real Redis servers, sentinels and clusters on loopback, and
// the few helpers that tests of several packages need.
//
// # Servers
//
// Start, StartSentinel and StartCluster start servers for one test, which may kill, pause
// and restart them, and move slots. They end with the test. Shared, SharedSentinels and
// SharedCluster return servers that all tests of a package share, because starting them
// takes time. A test must use a prefix of its own there and must not break anything. A
// package that uses shared servers has a TestMain that calls Run:
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Run(m)) }
//
// Where redis-server is not installed these functions skip the test. If the environment
// variable LIFECYCLE_REQUIRE_REDIS is set, they fail it instead.
//
// # Waiting
//
// Tests wait for what they want to see, and never for a time: Eventually polls a condition,
// Receive reads from a channel, and both fail the test after Patience. Log keeps what is
// logged, and a test can read it while others write. Background runs a part of the library
// until the test ends.
//
// # Reaching into Redis
//
// Prefix returns a prefix of the test's own. EachMaster calls a function for each master of
// a cluster, and Overwrite replaces a key with one that the library cannot have written.
// Answered is a client without a server, for tests that choose the replies. ClosedPort is an
// address at which there is no server.
package redistest
