package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// The formats. 4 and 5 are also in rotate.lua, look.lua and past.lua. 6 is taken: see
// ledger.Past.
const (
	formatFirst   = 2 // of earlier releases, without tagged fields
	formatCookie  = 3 // as formatFirst, with a cookie
	format        = 4
	formatRotated = 5 // as format, with the rotated field
)

// The tags of fields. A tag is never used for another field, even if its own is no longer
// written.
const (
	tagCookie  = 1
	tagRequest = 2
	tagHeader  = 3
	tagValues  = 4
	tagOwn     = 5
)

// ErrMalformed is returned for bytes that neither this release nor an earlier one can have
// written.
var ErrMalformed = errors.New("malformed session record")

// Record is everything that is stored about a session.
type Record struct {
	Proof    string         // the proof of the present secret, token.ProofLength bytes
	Created  int64          // when the session began, in Unix ms by the Redis server's clock
	Timeouts token.Timeouts // the timeouts in force
	// Own is the idle timeout that the session has got as its own, 0 if it has none: then the
	// timeouts are those of the store's options or the cookie's age. An instance of a release
	// without this field puts those in force when it saves the session, and keeps the field.
	Own     time.Duration
	Rotated []Rotated // the secrets that were rotated away a short while ago, the latest first
	Cookie  *Cookie   // the form of the session's cookie; nil: the store's options
	Request Request   // the request that began the session; of a record that was read see Began
	Values  []byte    // the session's values, as the codec has encoded them; empty: none

	texts, header []byte // of the request, as they came: most readers do not need them
	unknown       []byte // the fields of a newer release, as they came
}

// Rotated is a secret that was rotated away a short while ago.
type Rotated struct {
	Secret string // the token.Token.SecretProof of the secret
	Until  int64  // until when it is remembered, in Unix ms
}

// rotatedLength is the packed length of a Rotated. maxRotated is how many of them a record
// has at most.
const (
	rotatedLength = token.ProofLength + 6
	maxRotated    = 4
)

// Cookie is the form of a session's cookie, if it is not that of the store's options.
type Cookie struct {
	Path, Domain string
	MaxAge       int // in seconds
	SameSite     int // as net/http numbers it
	Secure       bool
	HTTPOnly     bool
	Partitioned  bool
}

// The flags of a packed cookie.
const (
	flagSecure = 1 << iota
	flagHTTPOnly
	flagPartitioned
)

// Pack returns the string that Redis keeps for r.
func Pack(r Record) []byte {
	b := make([]byte, 0, token.ProofLength+128+len(r.Request.URI)+len(r.Request.UserAgent)+len(r.texts)+len(r.header)+len(r.Values)+len(r.unknown))
	b = append(b, r.Proof...)
	if len(r.Rotated) == 0 {
		b = appendUint48(append(b, format), r.Timeouts.Deadline)
	} else {
		b = appendUint48(append(b, formatRotated), r.Timeouts.Deadline)
		b = append(b, byte(len(r.Rotated)*rotatedLength))
		for _, x := range r.Rotated {
			b = appendUint48(append(b, x.Secret...), x.Until)
		}
	}
	created := r.Created
	if d := r.Timeouts.Deadline; d != 0 {
		created = max(d-created, 0) // the time to the deadline takes fewer bytes
	}
	b = binary.AppendUvarint(b, uint64(created))
	b = binary.AppendUvarint(b, uint64(r.Timeouts.Idle.Milliseconds()))
	if r.Cookie != nil {
		b = appendField(b, tagCookie, packCookie(r.Cookie))
	}
	if r.Own > 0 {
		b = appendField(b, tagOwn, binary.AppendUvarint(nil, uint64(r.Own.Milliseconds())))
	}
	texts, header := r.texts, r.header
	if texts == nil {
		texts, header = packTexts(&r.Request), packHeader(r.Request.Header)
	}
	b = appendField(b, tagRequest, texts)
	if len(header) > 0 {
		b = appendField(b, tagHeader, header)
	}
	b = append(b, r.unknown...)
	if len(r.Values) > 0 {
		b = append(append(b, tagValues), r.Values...)
	}
	return b
}

// Unpack reads what Pack has written, in this release or an earlier one. The error is
// ErrMalformed. The result's Values, and what Began reads, are parts of b and not copies.
func Unpack(b []byte) (Record, error) {
	if len(b) <= token.ProofLength {
		return Record{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	r := Record{Proof: string(b[:token.ProofLength])}
	d := decoder{b: b[token.ProofLength+1:]}
	switch f := b[token.ProofLength]; f {
	case format, formatRotated:
		r.fields(&d, f == formatRotated)
	case formatFirst, formatCookie:
		r.first(&d, f == formatCookie)
	default:
		return Record{}, fmt.Errorf("%w: format %d, this release reads up to %d", ErrMalformed, f, formatRotated)
	}
	if d.bad || r.Timeouts.Deadline < 0 || r.Timeouts.Deadline >= 1<<48 || r.Timeouts.Idle <= 0 || r.Timeouts.Idle > token.MaxTimeout {
		return Record{}, ErrMalformed
	}
	return r, nil
}

// fields reads the rest of a record in format 4 or 5. rotated says that it has the rotated
// field.
func (r *Record) fields(d *decoder, rotated bool) {
	r.Timeouts.Deadline = d.uint48()
	if rotated {
		f := decoder{b: d.bytes()}
		r.Rotated = f.rotated()
		d.bad = d.bad || len(f.b) > 0 || len(r.Rotated) == 0 || len(r.Rotated) > maxRotated
	}
	r.Created = d.int64()
	if r.Timeouts.Deadline != 0 {
		r.Created = r.Timeouts.Deadline - r.Created
		d.bad = d.bad || r.Created < 0
	}
	r.Timeouts.Idle = d.milliseconds()
	for len(d.b) > 0 && !d.bad {
		whole := d.b
		tag := d.int64()
		if tag == tagValues {
			if len(d.b) > 0 {
				r.Values = d.b
			}
			return
		}
		f := decoder{b: d.bytes()}
		if d.bad {
			return
		}
		switch tag {
		case tagCookie:
			r.Cookie = f.cookie()
		case tagOwn:
			r.Own = f.milliseconds()
			f.bad = f.bad || r.Own <= 0 || r.Own > token.MaxTimeout
		case tagRequest:
			r.texts = f.b
			f.skip(requestTexts)
		case tagHeader:
			r.header = f.b
			for len(f.b) > 0 && !f.bad {
				f.skip(2)
			}
		default:
			r.unknown = append(r.unknown, whole[:len(whole)-len(d.b)]...)
			f.b = nil
		}
		d.bad = d.bad || f.bad || len(f.b) > 0
	}
}

// first reads the rest of a record in format 2 or 3. cookie says that it has a cookie.
func (r *Record) first(d *decoder, cookie bool) {
	r.Created = d.int64()
	r.Timeouts.Idle = d.milliseconds()
	if life := d.int64(); life > 0 {
		r.Timeouts.Deadline = r.Created + life
	}
	if cookie {
		r.Cookie = d.cookie()
	}
	for _, s := range r.Request.texts() {
		*s = string(d.bytes())
	}
	if r.Request.Method == noMethod { // no request has it, and Pack writes it for none
		r.Request.Method = ""
	}
	for n := d.int64(); n > 0 && !d.bad; n-- {
		r.Request.Header = append(r.Request.Header, Field{Name: string(d.bytes()), Value: string(d.bytes())})
	}
	if len(d.b) > 0 {
		r.Values = d.b
	}
}

// UnpackRotated reads the content of a rotated field: the field without its length.
func UnpackRotated(b []byte) []Rotated {
	d := decoder{b: b}
	return d.rotated()
}

// rotated reads secrets that were rotated away, as many as there are.
func (d *decoder) rotated() (all []Rotated) {
	for len(d.b) >= rotatedLength {
		all = append(all, Rotated{Secret: string(d.take(token.ProofLength)), Until: d.uint48()})
	}
	return all
}

func appendField(b []byte, tag uint64, f []byte) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, tag), uint64(len(f)))
	return append(b, f...)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendUint48(b []byte, v int64) []byte {
	return append(b, byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func packCookie(c *Cookie) []byte {
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
	b := binary.AppendUvarint([]byte{flags, byte(c.SameSite)}, uint64(max(c.MaxAge, 0)))
	return appendString(appendString(b, c.Path), c.Domain)
}

// decoder takes parts off the front of b. When b does not have what is expected, the
// decoder becomes bad, and from then on returns zero values.
type decoder struct {
	b   []byte
	bad bool
}

// int64 takes a uvarint.
func (d *decoder) int64() int64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 || v > math.MaxInt64 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return int64(v)
}

// milliseconds takes a uvarint that is a duration in ms, of token.MaxTimeout at most.
func (d *decoder) milliseconds() time.Duration {
	ms := d.int64()
	if ms > token.MaxTimeout.Milliseconds() {
		d.bad = true
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// uint48 takes 6 bytes that are a big-endian number.
func (d *decoder) uint48() int64 {
	b := d.take(6)
	if d.bad {
		return 0
	}
	return int64(binary.BigEndian.Uint16(b))<<32 | int64(binary.BigEndian.Uint32(b[2:]))
}

// take takes n bytes. The result is a part of b and not a copy.
func (d *decoder) take(n int64) []byte {
	if d.bad || n > int64(len(d.b)) {
		d.bad = true
		return nil
	}
	x := d.b[:n:n]
	d.b = d.b[n:]
	return x
}

// bytes takes a uvarint n and then n bytes.
func (d *decoder) bytes() []byte { return d.take(d.int64()) }

// cookie takes what packCookie has written.
func (d *decoder) cookie() *Cookie {
	head := d.take(2)
	age := d.int64()
	if d.bad || age > math.MaxInt32 {
		d.bad = true
		return nil
	}
	return &Cookie{
		Secure:      head[0]&flagSecure != 0,
		HTTPOnly:    head[0]&flagHTTPOnly != 0,
		Partitioned: head[0]&flagPartitioned != 0,
		SameSite:    int(head[1]),
		MaxAge:      int(age),
		Path:        string(d.bytes()),
		Domain:      string(d.bytes()),
	}
}
