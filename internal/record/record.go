// Package record packs what is known of a session into the one string that
// Redis keeps for it.
//
// The record begins with the proof of the session's present secret, which
// scripts compare and rotate in place. Everything behind it is opaque to them.
package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// The first byte behind the proof is twice the version, plus one if a cookie
// follows the times.
const version = 1

// ErrMalformed is returned for bytes that Pack cannot have written.
var ErrMalformed = errors.New("malformed session record")

// Record is a session at rest.
type Record struct {
	Proof    string         // of the present secret, token.ProofLength bytes
	Created  int64          // Unix milliseconds, the Redis server's clock
	Timeouts token.Timeouts // as in force
	Cookie   *Cookie        // nil: the store's own options
	Request  Request        // that began the session
	Values   []byte         // as the codec encoded them; empty means none
}

// Cookie is the cookie's form where a session has its own.
type Cookie struct {
	Path, Domain string
	MaxAge       int // seconds
	SameSite     int // net/http's number
	Secure       bool
	HTTPOnly     bool
	Partitioned  bool
}

// Request sums up the request that began the session.
type Request struct {
	Method, URI, Host, ClientIP, UserAgent string
	Header                                 []Field
}

// Field is one line of a request's header.
type Field struct{ Name, Value string }

const (
	flagSecure = 1 << iota
	flagHTTPOnly
	flagPartitioned
)

// Pack returns the record as Redis keeps it.
func Pack(r Record) []byte {
	b := make([]byte, 0, token.ProofLength+96+len(r.Request.URI)+len(r.Request.UserAgent)+len(r.Values))
	b = append(b, r.Proof...)
	head := byte(version << 1)
	if r.Cookie != nil {
		head++
	}
	b = append(b, head)
	b = binary.AppendUvarint(b, uint64(r.Created))
	b = binary.AppendUvarint(b, uint64(r.Timeouts.Idle.Milliseconds()))
	// The deadline lies behind the creation: the difference takes fewer bytes.
	var life int64
	if r.Timeouts.Deadline != 0 {
		life = max(r.Timeouts.Deadline-r.Created, 1)
	}
	b = binary.AppendUvarint(b, uint64(life))
	if r.Cookie != nil {
		b = appendCookie(b, r.Cookie)
	}
	for _, s := range []string{r.Request.Method, r.Request.URI, r.Request.Host, r.Request.ClientIP, r.Request.UserAgent} {
		b = appendString(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Request.Header)))
	for _, f := range r.Request.Header {
		b = appendString(appendString(b, f.Name), f.Value)
	}
	return append(b, r.Values...)
}

// Unpack reads what Pack wrote. Values aliases b.
func Unpack(b []byte) (Record, error) {
	if len(b) <= token.ProofLength {
		return Record{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	head := b[token.ProofLength]
	if v := head >> 1; v != version {
		return Record{}, fmt.Errorf("%w: version %d, this release reads %d", ErrMalformed, v, version)
	}
	r := Record{Proof: string(b[:token.ProofLength])}
	d := decoder{b: b[token.ProofLength+1:]}
	r.Created = d.int64()
	idle := d.int64()
	if life := d.int64(); life > 0 {
		r.Timeouts.Deadline = r.Created + life
	}
	if head&1 == 1 {
		r.Cookie = d.cookie()
	}
	for _, s := range []*string{&r.Request.Method, &r.Request.URI, &r.Request.Host, &r.Request.ClientIP, &r.Request.UserAgent} {
		*s = d.string()
	}
	if n := d.int64(); n > 0 && n <= int64(len(d.b)) {
		r.Request.Header = make([]Field, n)
		for i := range r.Request.Header {
			r.Request.Header[i] = Field{Name: d.string(), Value: d.string()}
		}
	} else if n != 0 {
		d.bad = true
	}
	if d.bad || r.Timeouts.Deadline < 0 || idle <= 0 || idle > token.MaxTimeout.Milliseconds() {
		return Record{}, ErrMalformed
	}
	r.Timeouts.Idle = time.Duration(idle) * time.Millisecond
	r.Values = d.b
	return r, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendCookie(b []byte, c *Cookie) []byte {
	var flags byte
	if c.Secure {
		flags |= flagSecure
	}
	if c.HTTPOnly {
		flags |= flagHTTPOnly
	}
	if c.Partitioned {
		flags |= flagPartitioned
	}
	b = append(b, flags, byte(c.SameSite))
	b = binary.AppendUvarint(b, uint64(max(c.MaxAge, 0)))
	return appendString(appendString(b, c.Path), c.Domain)
}

// decoder takes fields off the front of b; after the first misfit it is bad
// and yields zero values.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) int64() int64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 || v > math.MaxInt64 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return int64(v)
}

func (d *decoder) byte() byte {
	if d.bad || len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) string() string {
	n := d.int64()
	if d.bad || n > int64(len(d.b)) {
		d.bad = true
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) cookie() *Cookie {
	flags := d.byte()
	c := &Cookie{
		Secure:      flags&flagSecure != 0,
		HTTPOnly:    flags&flagHTTPOnly != 0,
		Partitioned: flags&flagPartitioned != 0,
		SameSite:    int(d.byte()),
	}
	age := d.int64()
	if age > math.MaxInt32 {
		d.bad = true
		return nil
	}
	c.MaxAge = int(age)
	c.Path, c.Domain = d.string(), d.string()
	return c
}
