// Package backoff says how long to wait before something that failed is tried again.
//
// A pause doubles with each failure, from Min up to Max, so that a Redis server which
// is in trouble is not called more and more often. Each pause is then made shorter or
// longer by chance: instances that lost the same server in the same moment, and ends
// whose hooks failed in the same moment, do not all come back in the same moment.
//
// There are two ways to count the failures:
//   - A loop counts its own failures. It keeps a Backoff, calls Next after each
//     failure and Reset after a success. A pause is changed by up to a half.
//   - An end carries its number of attempts with it, in Redis, from one instance to the
//     next. ForAttempt computes the pause from that number, and changes it by up to a
//     fifth.
//
// # States
//
// A Backoff is failing from the first Next to the next Reset, and not failing otherwise.
// ForAttempt keeps nothing.
//
// # What happens at each failure
//
// The package itself cannot fail, and reports no errors. A pause for very many failures
// does not overflow: it is the longest one.
//
// # What it may touch
//
// The package only computes. It starts no goroutine and no timer: the caller waits.
package backoff
