// Package faults tests the promises of lifecycle while things break: instances are
// killed and frozen, Redis crashes, loses its data and refuses commands, networks lose
// and delay what is sent.
//
// The parts of a test are:
//
//   - A fleet of instances. Each instance is a child process of the test binary. It runs
//     a gin application whose hooks write to a journal.
//   - Redis and Sentinel, which are real processes on private ports.
//   - A proxy (toxiproxy) between the instances and Redis, where the network is to break.
//   - Visitors, who send requests and note what the instances responded.
//   - The checker. At the end of a test it reads the journals and the visitors' notes, and
//     decides whether the promises were kept. The invariants that it checks, I1 to I12,
//     are explained with the methods of trial. The checker has tests of its own.
//
// The rows of the fault matrix in docs/guarantees.md are the tests TestRow01 to TestRow29.
// TestModel compares random histories with a simple model of the sessions. TestSoak breaks
// everything at random under a constant load, while other clients send forged cookies.
//
// The package is a module of its own, so that its dependencies are not those of lifecycle.
package faults
