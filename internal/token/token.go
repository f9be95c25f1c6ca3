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
	// ProofLength is the length of a proof in bytes. Finding a secret for a proof of 128
	// bits is as hard as guessing an ID of 128 bits (NIST SP 800-107 on truncated hashes).
	// With a whole SHA-256, a session would take a tenth more memory.
	ProofLength = 16

	idBytes     = 16
	secretBytes = 32
	timeBytes   = 6
	markBytes   = 4
	provedBytes = secretBytes + 2*timeBytes + markBytes // what the proof covers
	sentBytes   = 4
	halfBytes   = provedBytes + sentBytes
	halfLength  = (halfBytes*8 + 5) / 6

	// Length is the length of a token in characters. A text of another length is no token.
	Length = IDLength + 1 + halfLength
)

// MaxTimeout is the longest idle timeout that a token can have: ten years.
const MaxTimeout = 10 * 365 * 24 * time.Hour

// encoding is strict: it refuses a second spelling of the same bytes, so that one session
// has one name.
var encoding = base64.RawURLEncoding.Strict()

// Timeouts say when a session ends by itself.
type Timeouts struct {
	// Idle ends the session this long after its last request. It is positive
	// and has millisecond resolution.
	Idle time.Duration
	// Deadline ends the session in any case, at this time in Unix milliseconds of the
	// Redis server's clock. 0 means no deadline.
	Deadline int64
}

// Mark says for which store and cookie name a token was issued. It is not a secret. With
// it, Parse refuses a token of another cookie without asking Redis.
type Mark [markBytes]byte

// MarkOf returns the mark of a cookie name, for the store with this prefix.
func MarkOf(prefix, name string) Mark {
	// Neither of them contains a zero byte.
	b := make([]byte, 0, 64)
	b = append(append(append(append(b, "mark\x00"...), prefix...), 0), name...)
	sum := sha256.Sum256(b)
	return Mark(sum[:])
}

// Token is a token that New has made or Parse has read. The zero value is no token.
type Token struct {
	ID       string
	timeouts Timeouts
	mark     Mark
	secret   [secretBytes]byte
	proof    string
	sent     uint32 // Unix seconds
}

// New returns a token with a new ID and a new secret, for a session with these timeouts.
func New(m Mark, t Timeouts) Token {
	var id [idBytes]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	return Token{ID: encoding.EncodeToString(id[:]), mark: m, timeouts: t}.Rotate()
}

// Rotate returns a token of the same session, with a new secret and the same timeouts.
func (t Token) Rotate() Token {
	_, _ = rand.Read(t.secret[:])
	return t.proved()
}

// Timeouts returns the timeouts that the token was issued with.
func (t Token) Timeouts() Timeouts { return t.timeouts }

// WithTimeouts returns the token with these timeouts and the same secret.
func (t Token) WithTimeouts(x Timeouts) Token {
	if x == t.timeouts {
		return t
	}
	t.timeouts = x
	return t.proved()
}

// proved returns the token with its proof.
func (t Token) proved() Token {
	half := t.half()
	sum := sha256.Sum256(half[:provedBytes])
	t.proof = string(sum[:ProofLength])
	return t
}

// half returns the bytes of the token's second half.
func (t Token) half() (half [halfBytes]byte) {
	b := append(half[:0], t.secret[:]...)
	b = appendUint48(appendUint48(b, t.timeouts.Idle.Milliseconds()), t.timeouts.Deadline)
	b = append(b, t.mark[:]...)
	_ = binary.BigEndian.AppendUint32(b, t.sent)
	return half
}

// Sent returns the token with at noted as the time at which its cookie was sent.
func (t Token) Sent(at time.Time) Token {
	t.sent = uint32(at.Unix())
	return t
}

// Age returns how long before at the cookie was sent, in whole seconds. The client can
// change this.
func (t Token) Age(at time.Time) time.Duration {
	return time.Duration(uint32(at.Unix())-t.sent) * time.Second
}

// Parse reads a token. ok is false for everything that String cannot have written with this
// mark: a wrong length, a wrong alphabet, a second spelling, impossible timeouts, another
// mark. Whether the session is live, and the secret is its own, only Redis knows.
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

// String returns the token as the cookie's value. It contains the secret: use it for the
// cookie and for nothing else.
func (t Token) String() string {
	half := t.half()
	out := make([]byte, Length)
	copy(out, t.ID)
	out[IDLength] = '.'
	encoding.Encode(out[IDLength+1:], half[:])
	return string(out)
}

// Proof returns the token's proof: ProofLength bytes of a SHA-256 over secret, timeouts and
// mark. It is what Redis may know about the secret, in the name of the live key and in the
// record.
func (t Token) Proof() string { return t.proof }

// Same reports whether two tokens are equal, apart from when they were sent.
func (t Token) Same(other Token) bool { return t.ID == other.ID && t.proof == other.proof }

// Proves reports whether proof is this token's proof. The comparison takes constant time.
func (t Token) Proves(proof string) bool {
	return subtle.ConstantTimeCompare([]byte(t.proof), []byte(proof)) == 1
}

// SecretProof returns ProofLength bytes of a SHA-256 over the secret and the mark. It does
// not depend on the timeouts.
func (t Token) SecretProof() string {
	var b [secretBytes + markBytes]byte
	copy(b[copy(b[:], t.secret[:]):], t.mark[:])
	sum := sha256.Sum256(b[:])
	return string(sum[:ProofLength])
}

// ProofText returns a proof as it is written in the name of a key.
func ProofText(proof string) string { return encoding.EncodeToString([]byte(proof)) }

// ValidID reports whether s has the form of an ID. Only then may it become a part of a
// key's name.
func ValidID(s string) bool {
	var id [idBytes]byte
	return len(s) == IDLength && decode(id[:], s)
}

// Bucket returns the bucket of an ID, of n buckets. It is 0 for a text that is no ID.
func Bucket(id string, n int) int {
	// The first four characters are 24 of the random bits of the ID.
	var b [3]byte
	if len(id) < 4 || !decode(b[:], id[:4]) {
		return 0
	}
	return int(uint32(b[0])<<16|uint32(b[1])<<8|uint32(b[2])) % n
}

// decode fills dst with the bytes that s encodes. It reports whether s is the encoding of
// exactly so many bytes.
func decode(dst []byte, s string) bool {
	// The decoder skips line ends. An ID with one would be a second spelling.
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
