// Package token makes and reads the value of a session's cookie.
//
// # Words
//
//   - ID: 16 random bytes that name the session in keys, log lines and hooks. It is public.
//     Knowing it gives no access.
//   - Secret: 32 random bytes that only the visitor knows. OWASP's Session Management Cheat
//     Sheet asks for at least 64 bits of entropy in a session identifier.
//   - Token: the cookie's value. It consists of the ID and a second half that contains the
//     secret.
//   - Proof: a part of a hash of the second half. Redis has the proof, in the name of the
//     live key and in the record, and never has the secret.
//   - Mark: says for which store and cookie name the token was issued.
//
// # Layout
//
// A token has 93 characters: the ID in 22 characters, a dot, and the second half in 70
// characters. Both parts are encoded as base64url without padding (RFC 4648, section 5).
// Numbers are big endian. The 52 bytes of the second half are:
//
//	bytes   content
//	 0-31   the secret
//	32-37   the idle timeout, in milliseconds
//	38-43   the absolute deadline, in Unix ms of the Redis server's clock; 0 for none
//	44-47   the mark: the first bytes of a SHA-256 over the store's prefix and the cookie name
//	48-51   when the cookie was sent, in Unix seconds
//
// The proof is the first 16 bytes of a SHA-256 over bytes 0 to 47. A token carries the
// timeouts, so that a request can read the session and prolong it in one round trip. If
// somebody changes a timeout, or sends the token under another cookie name, the proof is
// another one. It then names a live key that does not exist. So nothing in a token is
// believed that was not issued together with its secret.
//
// Only the last four bytes are not covered by the proof, so that sending the cookie again
// does not change it. They say when it is time to send the cookie again. A client that
// changes them changes only that.
//
// SecretProof is the first 16 bytes of a SHA-256 over the secret and the mark alone. It
// stays the same when the timeouts change.
//
// # What happens at each failure
//
//   - A cookie is not a token of this store and cookie name: Parse returns false, without
//     asking Redis. Each token has one spelling; Parse refuses every other encoding of the
//     same bytes, so that one session has one name.
//   - A token is well formed and was not issued: Parse returns true, and Redis has no live
//     key for its proof.
//   - The system has no randomness: crypto/rand ends the process.
//
// # What it may touch
//
// Nothing but the randomness of the system. It imports none of this module's packages. A
// Token is a value and safe for concurrent use.
package token
