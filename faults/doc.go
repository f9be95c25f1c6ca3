// Package faults holds the tests of what lifecycle promises while things break:
// instances are killed and frozen, Redis crashes, forgets and refuses, networks
// lose and delay.
//
// Instances are child processes of the test binary, gin applications that write
// what their hooks do to a journal. Redis and Sentinel are real processes on
// private ports, and toxiproxy stands between them and the instances. Once a test
// has broken what it breaks, a checker reads the journals and what the visitors
// were answered, and decides whether the promises were kept.
//
// The rows of the fault matrix are the tests TestRow01 to TestRow25; the numbers
// are those of docs/guarantees.md. TestSoak breaks everything at random under a
// constant load, beside clients that forge what they send.
//
// It is a module of its own, so that what it needs is no dependency of lifecycle.
package faults
