package codec

import (
	"encoding/gob"
	"errors"
	"math/big"
	"runtime"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Types that an application might register, and some that are worse.
type (
	inner    struct{ X, Y int }
	twin     struct{ X, Y int }
	mirrored struct{ Y, X int }
	embedded struct {
		inner
		Inner inner
		A     int
	}
	node struct {
		V    int
		Next *node
	}
	tree struct {
		Left, Right *tree
		Any         any
	}
	pointing struct{ *Embedded }
	Embedded struct{ X int }
	nest     []nest
	chain    map[string]chain
	pair     [2]inner
	void     [0]*void
	large    struct {
		Text [1 << 20]byte
		N    int
	}
	full struct {
		Map    map[string]any
		Keys   map[any]any
		Any    any
		List   []any
		Pair   pair
		Inners []*inner
		Table  map[inner]map[string][]twin
		Time   time.Time
		Times  []time.Time
		Big    *big.Int
		Own    own
		Text   text
		Tree   *tree
		Deep   **inner
		Bytes  []byte
		Array  [3]byte
		Void   void
		C      complex128
		F      float32
		U      uint16
		Self   []full
		secret int
	}
	// wideV1 is a type of the stream, and wideV2 what it has become in this process. The
	// tests replace V1 by V2 in the names. The same with swapV1 and swapV2.
	wideV1 struct {
		Extra any
		List  []any
		A     inner
		B     twin
		C     []mirrored
		Keep  int
	}
	wideV2 struct {
		A, B   inner
		Keep   int
		secret any
	}
	swapV1 struct {
		A inner
		B mirrored
	}
	swapV2 struct{ A, B inner }
)

// own encodes itself.
type own struct{ text string }

func (o own) GobEncode() ([]byte, error)   { return []byte(o.text), nil }
func (o *own) GobDecode(data []byte) error { o.text = string(data); return nil }

// text implements encoding.TextMarshaler, which encoding/gob does not use.
type text struct{ S string }

func (t text) MarshalText() ([]byte, error)  { return []byte(t.S), nil }
func (t *text) UnmarshalText(b []byte) error { t.S = string(b); return nil }

// raw implements encoding.BinaryMarshaler, which encoding/gob uses.
type raw string

func (r raw) MarshalBinary() ([]byte, error)  { return []byte(r), nil }
func (r *raw) UnmarshalBinary(b []byte) error { *r = raw(b); return nil }

// fragile panics when it decodes a number above 1, or no bytes.
type fragile struct{ N int }

func (f fragile) GobEncode() ([]byte, error) { return []byte{byte(f.N)}, nil }
func (f *fragile) GobDecode(data []byte) error {
	f.N = int(data[0])
	if f.N > 1 {
		panic(errors.New("not that"))
	}
	return nil
}

func init() {
	for _, v := range []any{
		[]any{}, map[string]any{}, map[any]any{}, map[string]int{}, []map[string]int{}, [][]string{}, [3]any{}, [2]time.Time{},
		time.Time{}, &big.Int{}, own{}, raw(""), fragile{}, text{}, (*any)(nil),
		inner{}, twin{}, embedded{}, &node{}, &tree{}, nest{}, chain{}, pair{}, void{}, large{}, full{}, map[inner]inner{},
		[]large{}, []*large{}, []map[int]large{}, pointing{}, wideV1{}, wideV2{}, swapV1{}, swapV2{}, []*full{},
	} {
		gob.Register(v)
	}
}

// allocated returns how many bytes the process allocates while do runs. The test must not be
// parallel.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// The functions from here on make parts of streams. Their descriptions leave out everything
// that may be left out.

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func message(parts ...[]byte) []byte { return appendText(nil, join(parts...)) }

func number(n uint64) []byte { return appendUint(nil, n) }

func id(n int64) []byte { return appendInt(nil, n) }

func named(s string) []byte { return appendText(nil, s) }

func arrayOf(of, elem, n int64) []byte {
	return message(id(-of), []byte{1, 2}, id(elem), []byte{1}, id(n), []byte{0, 0})
}

func sliceOf(of, elem int64) []byte { return message(id(-of), []byte{2, 2}, id(elem), []byte{0, 0}) }

func mapOf(of, key, elem int64) []byte {
	return message(id(-of), []byte{4, 2}, id(key), []byte{1}, id(elem), []byte{0, 0})
}

func opaque(of int64) []byte { return message(id(-of), []byte{5, 0, 0}) }

func structOf(of int64, fields ...field) []byte {
	b := join(id(-of), []byte{3, 2}, number(uint64(len(fields))))
	for _, f := range fields {
		b = join(b, []byte{1}, named(f.name), []byte{1}, id(f.id), []byte{0})
	}
	return message(b, []byte{0, 0})
}

// valuesID is the id of the map in streams.
const valuesID = 64

// values returns a stream of a map that claims to have n entries.
func values(n uint64, entries []byte, descriptions ...[]byte) []byte {
	return join(mapOf(valuesID, interfaceID, interfaceID), join(descriptions...),
		message(id(valuesID), []byte{0}, number(n), entries))
}

// one returns a stream of a map with the key 1 and one value.
func one(value []byte, descriptions ...[]byte) []byte {
	return values(1, join(key, value), descriptions...)
}

// key is the number 1 in an interface.
var key = holds("int", intID, []byte{0, 2})

// holds returns an interface that holds a value. Unless the value is a struct, it must begin
// with a zero.
func holds(name string, of int64, value []byte) []byte {
	return join(named(name), id(of), message(value))
}
