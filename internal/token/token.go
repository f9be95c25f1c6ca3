// Package token makes and reads the two halves of a session's cookie: the
// public ID and the secret.
//
// A token is "<id>.<secret>". The ID is 16 random bytes; it names the session
// in keys, logs and hooks. The secret is 32 random bytes, known to the visitor
// only: Redis holds the first half of their SHA-256 (the proof). OWASP's Session Management
// Cheat Sheet asks for at least 64 bits of entropy in a session identifier.
//
// Behind its random bytes the secret half carries the timeouts that the
// session had when the cookie was written, so that a request can prolong the
// session in the same round trip that reads it. They are a note, not a
// right: whoever reads the record compares, and the record has the last word.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

const (
	// IDLength is the length of an ID in characters.
	IDLength = 22
	// ProofLength is the length of a proof in bytes. To find a secret for a proof
	// of 128 bits is as hard as to guess an ID of 128 bits (NIST SP 800-107 on
	// truncated hashes); a whole SHA-256 costs a tenth of a session's memory more.
	ProofLength = 16

	idBytes     = 16
	secretBytes = 32
	halfBytes   = secretBytes + 6 + 6
	halfLength  = 59

	// Length is the length of a token in characters; nothing else is one.
	Length = IDLength + 1 + halfLength
)

// MaxTimeout is the longest idle timeout that a token can name, ten years.
const MaxTimeout = 10 * 365 * 24 * time.Hour

// encoding refuses a second spelling of the same bytes, so that one session
// has one name.
var encoding = base64.RawURLEncoding.Strict()

// Timeouts tell when a session ends by itself.
type Timeouts struct {
	// Idle ends the session this long after its last request. It is positive
	// and has millisecond resolution.
	Idle time.Duration
	// Deadline ends it in any case, in Unix milliseconds of the Redis server's
	// clock; 0 means never.
	Deadline int64
}

// Token is a parsed token.
type Token struct {
	ID       string
	Timeouts Timeouts
	secret   [secretBytes]byte
	proof    string
}

// New returns a token with a new ID and a new secret.
func New(t Timeouts) Token {
	var id [idBytes]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	return Token{ID: encoding.EncodeToString(id[:]), Timeouts: t}.Rotate()
}

// Rotate returns a token of the same session with a new secret.
func (t Token) Rotate() Token {
	_, _ = rand.Read(t.secret[:])
	t.proof = prove(t.secret)
	return t
}

func prove(secret [secretBytes]byte) string {
	sum := sha256.Sum256(secret[:])
	return string(sum[:ProofLength])
}

// Parse reads a token. ok is false for anything that String cannot have
// written: wrong length, wrong alphabet, a second spelling, impossible timeouts.
func Parse(s string) (t Token, ok bool) {
	if len(s) != Length || s[IDLength] != '.' || !ValidID(s[:IDLength]) {
		return Token{}, false
	}
	var half [halfBytes]byte
	if !decode(half[:], s[IDLength+1:]) {
		return Token{}, false
	}
	t.ID = s[:IDLength]
	copy(t.secret[:], half[:secretBytes])
	t.proof = prove(t.secret)
	t.Timeouts.Idle = time.Duration(getUint48(half[secretBytes:])) * time.Millisecond
	t.Timeouts.Deadline = getUint48(half[secretBytes+6:])
	if t.Timeouts.Idle <= 0 || t.Timeouts.Idle > MaxTimeout {
		return Token{}, false
	}
	return t, true
}

// String returns the token as it stands in the cookie. It contains the secret:
// it belongs into a cookie and nowhere else.
func (t Token) String() string {
	var half [halfBytes]byte
	copy(half[:], t.secret[:])
	putUint48(half[secretBytes:], t.Timeouts.Idle.Milliseconds())
	putUint48(half[secretBytes+6:], t.Timeouts.Deadline)

	out := make([]byte, Length)
	copy(out, t.ID)
	out[IDLength] = '.'
	encoding.Encode(out[IDLength+1:], half[:])
	return string(out)
}

// Proof returns what Redis may know of the secret: ProofLength bytes of its
// SHA-256.
func (t Token) Proof() string { return t.proof }

// ProofText returns a proof as it stands in a key's name.
func ProofText(proof string) string { return encoding.EncodeToString([]byte(proof)) }

// ValidID reports whether s is an ID, so that it may become part of a key.
func ValidID(s string) bool {
	var id [idBytes]byte
	return len(s) == IDLength && decode(id[:], s)
}

// Bucket returns the bucket of a valid ID among n buckets.
func Bucket(id string, n int) int {
	// The first four characters are 24 random bits, drawn by New.
	var b [3]byte
	if len(id) < 4 || !decode(b[:], id[:4]) {
		return 0
	}
	return int(uint32(b[0])<<16|uint32(b[1])<<8|uint32(b[2])) % n
}

// decode fills dst from s, which must be exactly its encoding.
func decode(dst []byte, s string) bool {
	// The decoder skips line ends; an ID with one would be a second spelling.
	for i := range len(s) {
		if s[i] == '\n' || s[i] == '\r' {
			return false
		}
	}
	n, err := encoding.Decode(dst, []byte(s))
	return err == nil && n == len(dst)
}

func putUint48(b []byte, v int64) {
	binary.BigEndian.PutUint16(b, uint16(v>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(v))
}

func getUint48(b []byte) int64 {
	return int64(binary.BigEndian.Uint16(b))<<32 | int64(binary.BigEndian.Uint32(b[2:]))
}
