// Package token makes and reads the two halves of a session's cookie: the
// public ID and the secret.
//
// A token is "<id>.<secret>". The ID is 16 random bytes; it names the session
// in keys, logs and hooks. The secret is 32 random bytes, known to the visitor
// only: Redis holds a part of a SHA-256 over them (the proof). OWASP's Session Management
// Cheat Sheet asks for at least 64 bits of entropy in a session identifier.
//
// Behind its random bytes the secret half carries the timeouts that the
// session had when the cookie was written, so that a request can prolong the
// session in the same round trip that reads it, and a mark of the store and cookie
// name that it was issued for. The proof is taken over the whole half. So whoever
// changes a timeout, or sends the token under another name, names a live key that
// does not exist: nothing in a token is believed that was not issued with it.
//
// Only the last bytes, when the cookie was sent, are not covered: they tell
// when it is time to send it again, to whoever says so, and nothing else.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
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
	timeBytes   = 6
	markBytes   = 4
	provedBytes = secretBytes + 2*timeBytes + markBytes
	sentBytes   = 4
	halfBytes   = provedBytes + sentBytes
	halfLength  = (halfBytes*8 + 5) / 6

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

// Mark tells for which store and cookie name a token was issued. It is no secret and
// no proof: it tells apart what cannot be a token of a name, without asking Redis.
type Mark [markBytes]byte

// MarkOf returns the mark of a cookie name of the store with this prefix.
func MarkOf(prefix, name string) Mark {
	// Neither of them contains a zero byte.
	b := make([]byte, 0, 64)
	b = append(append(append(append(b, "mark\x00"...), prefix...), 0), name...)
	sum := sha256.Sum256(b)
	return Mark(sum[:])
}

// Token is a parsed token.
type Token struct {
	ID       string
	timeouts Timeouts
	mark     Mark
	secret   [secretBytes]byte
	proof    string
	sent     uint32 // Unix seconds
}

// New returns a token with a new ID and a new secret.
func New(m Mark, t Timeouts) Token {
	var id [idBytes]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	return Token{ID: encoding.EncodeToString(id[:]), mark: m, timeouts: t}.Rotate()
}

// Rotate returns a token of the same session with a new secret.
func (t Token) Rotate() Token {
	_, _ = rand.Read(t.secret[:])
	return t.proved()
}

// Timeouts returns the timeouts that the token was issued with.
func (t Token) Timeouts() Timeouts { return t.timeouts }

// WithTimeouts returns the token with the same secret and these timeouts.
func (t Token) WithTimeouts(x Timeouts) Token {
	if x == t.timeouts {
		return t
	}
	t.timeouts = x
	return t.proved()
}

func (t Token) proved() Token {
	half := t.half()
	sum := sha256.Sum256(half[:provedBytes])
	t.proof = string(sum[:ProofLength])
	return t
}

// half is the token's second half, decoded.
func (t Token) half() (half [halfBytes]byte) {
	b := append(half[:0], t.secret[:]...)
	b = appendUint48(appendUint48(b, t.timeouts.Idle.Milliseconds()), t.timeouts.Deadline)
	b = append(b, t.mark[:]...)
	_ = binary.BigEndian.AppendUint32(b, t.sent)
	return half
}

// Sent returns the token as it is sent at that time.
func (t Token) Sent(at time.Time) Token {
	t.sent = uint32(at.Unix())
	return t
}

// Age returns how long ago the cookie was sent, as it says itself, in whole seconds.
func (t Token) Age(at time.Time) time.Duration {
	return time.Duration(uint32(at.Unix())-t.sent) * time.Second
}

// Parse reads a token. ok is false for anything that String cannot have
// written for this mark: wrong length, wrong alphabet, a second spelling, impossible
// timeouts, another mark.
func Parse(s string, m Mark) (t Token, ok bool) {
	if len(s) != Length || s[IDLength] != '.' || !ValidID(s[:IDLength]) {
		return Token{}, false
	}
	var half [halfBytes]byte
	if !decode(half[:], s[IDLength+1:]) {
		return Token{}, false
	}
	t.ID = s[:IDLength]
	rest := half[copy(t.secret[:], half[:]):]
	t.timeouts.Idle = time.Duration(getUint48(rest)) * time.Millisecond
	t.timeouts.Deadline = getUint48(rest[timeBytes:])
	t.mark = Mark(rest[2*timeBytes:])
	t.sent = binary.BigEndian.Uint32(half[provedBytes:])
	if t.mark != m || t.timeouts.Idle <= 0 || t.timeouts.Idle > MaxTimeout {
		return Token{}, false
	}
	return t.proved(), true
}

// String returns the token as it stands in the cookie. It contains the secret:
// it belongs into a cookie and nowhere else.
func (t Token) String() string {
	half := t.half()
	out := make([]byte, Length)
	copy(out, t.ID)
	out[IDLength] = '.'
	encoding.Encode(out[IDLength+1:], half[:])
	return string(out)
}

// Proof returns what Redis may know of the secret, in the name of the live key and in
// the record: ProofLength bytes of a SHA-256 over secret, timeouts and mark.
func (t Token) Proof() string { return t.proof }

// Same reports whether two tokens are one, whenever they were sent.
func (t Token) Same(other Token) bool { return t.ID == other.ID && t.proof == other.proof }

// Proves reports whether proof is this token's.
func (t Token) Proves(proof string) bool {
	return subtle.ConstantTimeCompare([]byte(t.proof), []byte(proof)) == 1
}

// SecretProof returns ProofLength bytes of a SHA-256 over the secret and the mark: it
// is the same whatever the timeouts are.
func (t Token) SecretProof() string {
	var b [secretBytes + markBytes]byte
	copy(b[copy(b[:], t.secret[:]):], t.mark[:])
	sum := sha256.Sum256(b[:])
	return string(sum[:ProofLength])
}

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

func appendUint48(b []byte, v int64) []byte {
	return append(b, byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func getUint48(b []byte) int64 {
	return int64(binary.BigEndian.Uint16(b))<<32 | int64(binary.BigEndian.Uint32(b[2:]))
}
