// Package ledgertest helps tests that need a ledger with sessions in it. The tests of package
// ledger use it, and those of the packages above the ledger. Programs never import it.
//
// Open opens a ledger. Begin, BeginIn and TryBegin write new sessions to Redis, as
// Ledger.Create does for the first request of a visitor, but without a request and without
// hooks. Record makes the record of such a session, for a test that writes it in another way.
// TokenIn makes a token only, and writes nothing. LiveKey names a live key, for a test that
// deletes it.
//
// # States
//
// The package keeps nothing between two calls.
//
// # What happens at each failure
//
// Open, Begin and BeginIn fail the test if Redis does not answer, or if the session does not
// begin. TryBegin returns an error instead.
//
// # What it may touch
//
// The package touches nothing but the keys that the given ledger writes. It does not import
// package ledger, so that the tests inside package ledger can import it.
package ledgertest
