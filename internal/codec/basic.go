package codec

import (
	"math"
	"math/bits"
)

// The ids of gob's basic types, see the documentation of encoding/gob.
const (
	boolID      = 1
	intID       = 2
	uintID      = 3
	floatID     = 4
	bytesID     = 5
	stringID    = 6
	complexID   = 7
	interfaceID = 8
)

// appendBasic appends the message with the values of a map[any]any, as encoding/gob writes
// it. id is the id of the map's type. ok is false unless all keys and values are of basic
// types, which need no description.
func appendBasic(data []byte, id int64, values map[any]any) (_ []byte, ok bool) {
	m := make([]byte, 0, 64+64*len(values))
	m = appendUint(append(appendInt(m, id), 0), uint64(len(values)))
	for k, v := range values {
		for _, x := range []any{k, v} {
			if m, ok = appendValue(m, x); !ok {
				return nil, false
			}
		}
	}
	return append(appendUint(data, uint64(len(m))), m...), true
}

// appendValue appends a value in an interface: the name and the id of its type, the length
// of the rest, a zero, and the value itself. ok is false if its type is not basic.
func appendValue(m []byte, v any) (_ []byte, ok bool) {
	switch v := v.(type) {
	case string:
		return appendText(appendType(m, "string", stringID, textLength(len(v))), v), true
	case []byte:
		return appendText(appendType(m, "[]uint8", bytesID, textLength(len(v))), v), true
	case bool:
		n := uint64(0)
		if v {
			n = 1
		}
		return appendNumber(m, "bool", boolID, n), true
	case int:
		return appendNumber(m, "int", intID, signed(int64(v))), true
	case int8:
		return appendNumber(m, "int8", intID, signed(int64(v))), true
	case int16:
		return appendNumber(m, "int16", intID, signed(int64(v))), true
	case int32:
		return appendNumber(m, "int32", intID, signed(int64(v))), true
	case int64:
		return appendNumber(m, "int64", intID, signed(v)), true
	case uint:
		return appendNumber(m, "uint", uintID, uint64(v)), true
	case uint8:
		return appendNumber(m, "uint8", uintID, uint64(v)), true
	case uint16:
		return appendNumber(m, "uint16", uintID, uint64(v)), true
	case uint32:
		return appendNumber(m, "uint32", uintID, uint64(v)), true
	case uint64:
		return appendNumber(m, "uint64", uintID, v), true
	case float32:
		return appendNumber(m, "float32", floatID, floating(float64(v))), true
	case float64:
		return appendNumber(m, "float64", floatID, floating(v)), true
	}
	return nil, false
}

// appendType appends what comes in an interface before a value of n bytes.
func appendType(m []byte, name string, id int64, n int) []byte {
	m = appendInt(appendText(m, name), id)
	return append(appendUint(m, uint64(1+n)), 0)
}

// appendNumber appends a number in an interface.
func appendNumber(m []byte, name string, id int64, v uint64) []byte {
	return appendUint(appendType(m, name, id, uintLength(v)), v)
}

// appendText appends bytes with their length in front.
func appendText[T string | []byte](m []byte, v T) []byte {
	return append(appendUint(m, uint64(len(v))), v...)
}

// textLength returns how many bytes appendText appends for n bytes.
func textLength(n int) int { return uintLength(uint64(n)) + n }

// appendUint appends an unsigned integer. reader.uint describes the format.
func appendUint(m []byte, v uint64) []byte {
	if v < 128 {
		return append(m, byte(v))
	}
	n := uintLength(v) - 1
	m = append(m, byte(-n))
	for shift := 8 * (n - 1); shift >= 0; shift -= 8 {
		m = append(m, byte(v>>shift))
	}
	return m
}

// uintLength returns how many bytes appendUint appends.
func uintLength(v uint64) int {
	if v < 128 {
		return 1
	}
	return 1 + (bits.Len64(v)+7)/8
}

// appendInt appends a signed integer.
func appendInt(m []byte, v int64) []byte { return appendUint(m, signed(v)) }

// signed returns the unsigned integer that gob writes for a signed one. The lowest bit says
// whether the other bits are complemented.
func signed(v int64) uint64 {
	if v < 0 {
		return uint64(^v)<<1 | 1
	}
	return uint64(v) << 1
}

// floating returns the unsigned integer that gob writes for a floating-point number: its
// bytes in reverse, so that numbers with few digits take few bytes.
func floating(v float64) uint64 { return bits.ReverseBytes64(math.Float64bits(v)) }

// leastEntry is the length of the shortest entry that decodeBasic reads: two values of type
// int, of which each takes 4 bytes for the name and one each for the type's id, the length,
// the zero and the number. decodeBasic makes a map for no more entries than fit into the
// message.
const leastEntry = 2 * (4 + 1 + 1 + 1 + 1)

// decodeBasic decodes the message with the values of a map[any]any. id is the id of the
// map's type. ok is false unless all keys and values are of the most common basic types;
// then encoding/gob has to decode the message, or to refuse it.
//
// decodeBasic does the same as encoding/gob, without reflection, at a quarter of the cost.
// With encoding/gob, decoding would be the largest part of what a request costs.
func decodeBasic(message []byte, id int64) (values map[any]any, ok bool) {
	r := reader{b: message}
	if r.uint() != uint64(len(r.b)) || r.int() != id || r.uint() != 0 {
		return nil, false
	}
	n := r.uint()
	if r.bad || n > uint64(len(r.b)/leastEntry) {
		return nil, false
	}
	values = make(map[any]any, n)
	for range n {
		k, v := r.value(), r.value()
		if r.bad {
			return nil, false
		}
		values[k] = v
	}
	return values, len(r.b) == 0
}

// reader takes the parts of a gob message off the front of b. When b does not have what is
// expected, the reader becomes bad, and from then on returns zero values.
type reader struct {
	b   []byte
	bad bool
}

// value reads a value in an interface: the name and the id of its type, the length of the
// rest, a zero, and the value itself.
func (r *reader) value() (v any) {
	name := r.bytes()
	id := r.int()
	rest := r.uint()
	before := len(r.b)
	if r.bad || rest > uint64(before) || r.uint() != 0 {
		r.bad = true
		return nil
	}
	switch {
	case id == stringID && string(name) == "string":
		v = string(r.bytes())
	case id == intID && string(name) == "int64":
		v = r.int()
	case id == intID && string(name) == "int":
		n := r.int()
		r.bad = r.bad || int64(int(n)) != n
		v = int(n)
	case id == boolID && string(name) == "bool":
		v = r.uint() != 0
	case id == floatID && string(name) == "float64":
		v = math.Float64frombits(bits.ReverseBytes64(r.uint()))
	default:
		r.bad = true
	}
	r.bad = r.bad || uint64(before-len(r.b)) != rest
	return v
}

// bytes reads a length, and as many bytes. The result is a part of b and not a copy.
func (r *reader) bytes() []byte {
	n := r.uint()
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// uint reads an unsigned integer. Below 128 it is one byte. Otherwise the first byte is the
// negated number of the bytes that follow, the most significant one first.
func (r *reader) uint() uint64 {
	if r.bad || len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	if c < 128 {
		return uint64(c)
	}
	n := -int(int8(c))
	if n > 8 || n > len(r.b) {
		r.bad = true
		return 0
	}
	var v uint64
	for _, c := range r.b[:n] {
		v = v<<8 | uint64(c)
	}
	r.b = r.b[n:]
	return v
}

// int reads a signed integer. The lowest bit says whether the other bits are complemented.
func (r *reader) int() int64 {
	u := r.uint()
	if u&1 != 0 {
		return ^int64(u >> 1)
	}
	return int64(u >> 1)
}
