package lifecycle

import (
	"math"
	"math/bits"
)

// The type ids of gob's basic types, see the documentation of encoding/gob.
const (
	gobBool   = 1
	gobInt    = 2
	gobFloat  = 4
	gobString = 6
)

// decodeBasic decodes a gob message that holds a map[any]any, whose type has the
// given id, if all its keys and values are of the commonest basic types. It does
// what encoding/gob does, without reflection, at a quarter of the cost, which would
// be the largest of a request's own. ok is false for everything else: that is
// encoding/gob's to judge.
func decodeBasic(message []byte, id int64) (values map[any]any, ok bool) {
	r := gobReader{b: message}
	if r.uint() != uint64(len(r.b)) || r.int() != id || r.uint() != 0 {
		return nil, false
	}
	n := r.uint()
	if r.bad || n > uint64(len(r.b)) {
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

// gobReader takes the parts of a gob message off the front of b; after the
// first misfit it is bad and yields zero values.
type gobReader struct {
	b   []byte
	bad bool
}

// value reads an interface's value: the name and the id of its type, the length
// of the rest, a zero, and the value.
func (r *gobReader) value() (v any) {
	name := r.bytes()
	id := r.int()
	rest := r.uint()
	before := len(r.b)
	if r.bad || rest > uint64(before) || r.uint() != 0 {
		r.bad = true
		return nil
	}
	switch {
	case id == gobString && string(name) == "string":
		v = string(r.bytes())
	case id == gobInt && string(name) == "int64":
		v = r.int()
	case id == gobInt && string(name) == "int":
		n := r.int()
		r.bad = r.bad || int64(int(n)) != n
		v = int(n)
	case id == gobBool && string(name) == "bool":
		v = r.uint() != 0
	case id == gobFloat && string(name) == "float64":
		v = math.Float64frombits(bits.ReverseBytes64(r.uint()))
	default:
		r.bad = true
	}
	r.bad = r.bad || uint64(before-len(r.b)) != rest
	return v
}

func (r *gobReader) bytes() []byte {
	n := r.uint()
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// uint reads an unsigned integer: one byte below 128, or the negated number of
// the bytes that follow, most significant first.
func (r *gobReader) uint() uint64 {
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

// int reads a signed integer: its lowest bit says whether the others are to be
// complemented.
func (r *gobReader) int() int64 {
	u := r.uint()
	if u&1 != 0 {
		return ^int64(u >> 1)
	}
	return int64(u >> 1)
}
