package codec

import (
	"bytes"
	"encoding/gob"
	"math"
	"runtime"
	"strings"
	"testing"
)

// hostile returns streams for which encoding/gob would take far more memory or time than
// their length justifies, or which would end the process.
func hostile() map[string][]byte {
	ints, anys := mapOf(65, stringID, intID), sliceOf(66, interfaceID)
	huge := holds("map[string]int", 65, join(zero, number(1<<24)))
	// The length is wrong: encoding/gob does not look at it.
	list := func(n uint64) []byte {
		return join(named("[]interface {}"), id(66), zero, zero, number(n))
	}
	short := join(named("string"), id(stringID), number(2), zero, named(string(join(zero, key, huge))))
	first, of := ownDescription()

	return map[string][]byte{
		"2^23 entries":     join(first, message(id(of), zero, number(1<<23))),
		"2^27 entries":     join(first, message(id(of), zero, number(1<<27))),
		"2^62 entries":     values(1<<62, nil),
		"-2^63 entries":    values(1<<63, nil),
		"an entry missing": values(2, join(key, key, zero)),
		"a map within":     one(huge, ints),
		"a slice within":   one(list(1<<28), anys),
		"a text":           one(holds("string", stringID, join(zero, number(1<<40)))),
		"bytes":            one(holds("[]uint8", bytesID, join(zero, number(1<<40)))),
		"bytes to decode":  one(holds(pkg+"own", 67, join(zero, number(1<<40))), opaque(67)),
		"a name":           one(number(1 << 30)),
		"a message":        join(number(1<<33), zero),
		"a message of 9M":  join(number(9<<20), zero),
		"structs of no bytes": one(join(named("map[codec.inner]codec.inner"), id(68), zero, zero, number(1<<18)),
			structOf(67, field{"X", intID}), mapOf(68, 67, 67)),
		"skipped structs of no bytes": one(join(named(pkg+"wideV2"), id(69), zero, []byte{1}, number(1<<62)),
			structOf(67, field{"X", intID}), mapOf(68, 67, 67), structOf(69, field{"Unknown", 68}, field{"Keep", intID})),
		"an array":           one(holds("[3]interface {}", 67, join(zero, number(1<<40))), arrayOf(67, interfaceID, 1<<40)),
		"an array in itself": one(holds(pkg+"pair", 67, join(zero, bytes.Repeat([]byte{2}, 1000))), arrayOf(67, 67, 2)),
		"a negative array": one(holds("[3]interface {}", 67, join(zero, number(math.MaxUint64))),
			arrayOf(67, interfaceID, -1)),
		"slices within slices": one(bytes.Repeat(list(1<<20), 1000), anys), // 10 MiB each

		"deep slices": one(join(named(pkg+"nest"), id(67), zero, zero, bytes.Repeat([]byte{1}, 4<<20)), sliceOf(67, 67)),
		"deep maps": one(join(named(pkg+"chain"), id(67), zero, zero, bytes.Repeat([]byte{1, 0}, 4<<20)),
			mapOf(67, stringID, 67)),
		"deep lists": one(join(named("*codec.node"), id(67), zero, bytes.Repeat([]byte{2}, 4<<20)),
			structOf(67, field{"V", intID}, field{"Next", 67})),
		"deep interfaces": one(bytes.Repeat(list(1), 1<<20), anys),
		"deep and skipped": one(join(named(pkg+"wideV2"), id(67), zero, []byte{1}, bytes.Repeat([]byte{1}, 4<<20)),
			structOf(67, field{"Unknown", 68}, field{"Keep", intID}), sliceOf(68, 68)),

		// In these, encoding/gob goes on reading at another place than the lengths say: within
		// a text.
		"behind a wrong length": values(2, join(key, named(pkg+"wideV2"), id(67), zero, []byte{1}, short, zero, key, key),
			structOf(67, field{"Extra", interfaceID}, field{"Keep", intID}), ints),
		"behind a wrong length, unexported": values(2,
			join(key, named(pkg+"wideV2"), id(67), zero, []byte{1}, short, zero, key, key),
			structOf(67, field{"secret", interfaceID}, field{"Keep", intID}), ints),
		"behind nil": values(2, join(key, named(pkg+"wideV2"), id(67), zero, []byte{1, 1, 0},
			number(2), number(3), []byte("xyz"), zero, key, huge),
			structOf(67, field{"List", 66}, field{"Keep", intID}), ints, anys),
		"behind another description": values(2, join(key, named(pkg+"wideV2"), id(67), zero, []byte{1, 0, 1, 1},
			named(string(join(zero, zero, key, huge))), zero, zero, key, key),
			structOf(67, field{"A", 68}, field{"B", 69}), structOf(68, field{"X", intID}),
			structOf(69, field{"X", stringID}), ints),

		"large structs": one(join(list(100), bytes.Repeat(holds(pkg+"large", 67, zero), 100)),
			anys, structOf(67, field{"N", intID})),
		"a slice of large structs": one(holds("[]codec.large", 68, join(zero, number(1000), make([]byte, 1000))),
			structOf(67, field{"N", intID}), sliceOf(68, 67)),
		"maps of large structs": one(holds("[]map[int]codec.large", 69, join(zero, number(1000), make([]byte, 1000))),
			structOf(67, field{"N", intID}), mapOf(68, intID, 67), sliceOf(69, 68)),
		"pointers to large structs": one(holds("[]*codec.large", 68, join(zero, number(1000), make([]byte, 1000))),
			structOf(67, field{"N", intID}), sliceOf(68, 67)),

		"fields": message(id(-67), []byte{3, 2}, number(1<<20), make([]byte, 20)),
		"types": one(holds("int", intID, []byte{0, 2}), many(maxTypes, func(i int64) []byte {
			return sliceOf(70+i, intID)
		})),
		"structs one in the other": one(holds("*codec.node", 70, zero), chainOfStructs(maxTypes)),
		"fields of deep types":     one(holds(pkg+"wideV2", 67, zero), fieldsOfDeepTypes(2000)),
	}
}

// pkg is what gob.Register puts in front of the names of this package's types.
const pkg = "github.com/gin-lifecycle/lifecycle/internal/codec."

var zero = []byte{0}

func many(n int64, part func(i int64) []byte) []byte {
	var b []byte
	for i := range n {
		b = append(b, part(i)...)
	}
	return b
}

// chainOfStructs describes n structs. Each but the last one has the next one as its field.
func chainOfStructs(n int64) []byte {
	return join(many(n-1, func(i int64) []byte { return structOf(70+i, field{"Next", 71 + i}) }),
		structOf(70+n-1, field{"V", intID}))
}

// fieldsOfDeepTypes describes a struct of n fields that this process does not have. The type
// of each is n slices within each other.
func fieldsOfDeepTypes(n int64) []byte {
	fields := []field{{"Keep", intID}}
	for range n {
		fields = append(fields, field{"Unknown", 70})
	}
	return join(many(n, func(i int64) []byte { return sliceOf(70+i, 71+i) }), sliceOf(70+n, intID), structOf(67, fields...))
}

// Decode refuses each hostile stream. It takes memory in proportion to the stream's length,
// ends, and leaves the process running.
func TestHostileStreams(t *testing.T) {
	for what, data := range hostile() {
		c := new(Gob)
		var err error
		got := allocated(func() { _, err = c.Decode(data) })
		if err == nil {
			t.Errorf("%s: Decode returns no error", what)
		}
		if got > uint64(4<<20+64*len(data)) {
			t.Errorf("%s: Decode takes %d bytes of memory for a stream of %d", what, got, len(data))
		}
		t.Logf("%s: %d bytes of memory for %d: %v", what, got, len(data), err)
	}
}

// decodeBasic makes a map for no more entries than fit into the bytes.
func TestEntriesOfBasicTypes(t *testing.T) {
	c := new(Gob)
	data, err := c.Encode(map[any]any{1: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decode(data); err != nil {
		t.Fatal(err)
	}
	first, of := ownDescription()
	const entries = 1 << 20
	data = join(first, message(id(of), zero, number(entries), make([]byte, 2*entries)))
	if _, ok := decodeBasic(data[len(first):], of); ok {
		t.Error("decodeBasic accepts nil")
	}
	if got := allocated(func() { decodeBasic(data[len(first):], of) }); got > 1<<18 { // counted in the whole process
		t.Errorf("decodeBasic takes %d bytes of memory", got)
	}
	shortest := join(message(id(of), zero, number(1), key, key))
	if values, ok := decodeBasic(shortest, of); !ok || values[1] != 1 {
		t.Errorf("decodeBasic of the shortest entry = %v, %v", values, ok)
	}
}

// Values may be nested as deep as maxDepth says. Deeper ones are neither encoded nor decoded.
func TestDepth(t *testing.T) {
	t.Parallel()
	c := new(Gob)
	for _, tt := range []struct {
		nodes int
		ok    bool
	}{{maxDepth - 2, true}, {maxDepth - 1, false}, {3 * maxDepth, false}} {
		var list *node
		for i := range tt.nodes {
			list = &node{V: i, Next: list}
		}
		values := map[any]any{"list": list}
		if _, err := c.Encode(values); (err == nil) != tt.ok {
			t.Errorf("Encode of %d nodes: %v, want success: %v", tt.nodes, err, tt.ok)
		}
		data, err := encode(values)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Decode(data)
		if (err == nil) != tt.ok {
			t.Errorf("Decode of %d nodes: %v, want success: %v", tt.nodes, err, tt.ok)
		}
		if err == nil && got["list"].(*node).V != tt.nodes-1 {
			t.Errorf("the first of %d nodes has the number %v, want %d", tt.nodes, got["list"].(*node).V, tt.nodes-1)
		}
	}
}

// A stream may have as many types as maxTypes says, each within the one before.
func TestManyTypes(t *testing.T) {
	data := one(holds("*codec.node", 70, []byte{1, 1, 1, 0, 0, 0}), chainOfStructs(maxTypes-1))
	var err error
	if got := allocated(func() { _, err = new(Gob).Decode(data) }); err != nil || got > uint64(128*len(data)) {
		t.Errorf("Decode takes %d bytes of memory for a stream of %d, error %v", got, len(data), err)
	}
}

// Where encoding/gob panics, Decode returns an error, and the Gob can be used again.
func TestPanics(t *testing.T) {
	t.Parallel()
	list := join(named("[]interface {}"), id(66))
	for what, data := range map[string][]byte{
		"bytes as a key":   values(1, join(holds("[]uint8", bytesID, []byte{0, 1, 'x'}), key)),
		"a slice as a key": values(1, join(list, message(zero, zero), key), sliceOf(66, interfaceID)),
		"a map as a key":   values(1, join(holds("map[string]int", 65, []byte{0, 0}), key), mapOf(65, stringID, intID)),
		"a slice within": one(holds("map[interface {}]interface {}", valuesID,
			join(zero, number(1), list, message(zero, zero), key)), sliceOf(66, interfaceID)),
		"a slice in a key": values(1, join(holds("[3]interface {}", 67,
			join(zero, number(3), list, message(zero, zero), zero, zero)), key), arrayOf(67, interfaceID, 3), sliceOf(66, interfaceID)),
		"a method that panics": one(holds(pkg+"fragile", 67, []byte{0, 1, 2}), opaque(67)),
		"an index of its own":  one(holds(pkg+"fragile", 67, []byte{0, 0}), opaque(67)),
		"nil embedded":         one(holds(pkg+"pointing", 67, []byte{1, 2, 0}), structOf(67, field{"X", intID})),
	} {
		func() {
			defer func() {
				if r := recover(); r == nil {
					t.Errorf("%s: encoding/gob does not panic", what)
				}
			}()
			var v map[any]any
			_ = gob.NewDecoder(bytes.NewReader(data)).Decode(&v)
		}()
		c := new(Gob)
		good := one(key)
		for range 2 {
			if got, err := c.Decode(data); err == nil || got != nil {
				t.Errorf("%s: Decode = %v, %v, want an error", what, got, err)
			}
			if got, err := c.Decode(good); err != nil || got[1] != 1 {
				t.Errorf("after %s, Decode of a good stream = %v, %v", what, got, err)
			}
		}
	}
}

// The error for a stream that is malformed says what is wrong with it.
func TestMalformedStreams(t *testing.T) {
	t.Parallel()
	anys := sliceOf(66, interfaceID)
	for want, data := range map[string][]byte{
		"malformed":                   join(number(1), []byte{0xff}),
		"a message of 0 bytes, 0 are": {},
		"not a map[any]a":             join(mapOf(valuesID, stringID, intID), message(id(valuesID), zero, zero)),
		"not a map[any]any":           message(id(intID), zero, id(1)),
		"a message of 2 bytes, 1 are": join(number(2), zero),
		"a nil interface in a field": one(holds(pkg+"wideV2", 67, []byte{1, 1, 0, 2, 0, 0}),
			structOf(67, field{"List", 66}, field{"A", 68}, field{"Keep", intID}), anys, structOf(68, field{"X", intID})),
		"1 bytes after the values":         join(one(key), zero),
		"2 bytes after the values":         values(0, []byte{0, 0}),
		"no zero before a value":           one(holds("int", intID, []byte{1, 2})),
		"which exists already":             values(0, nil, anys, anys),
		"of type 63, which exists already": values(0, nil, sliceOf(63, intID)),
		"after the description":            message(id(-66), []byte{2, 2}, id(intID), []byte{0, 0}, zero),
		"of two kinds":                     values(0, nil, message(id(-66), []byte{1, 0, 1, 0, 0})),
		"of no kind":                       values(0, nil, message(id(-66), zero)),
		"a field without a name":           values(0, nil, structOf(66, field{"", intID})),
		"which has no description":         one(holds("[]interface {}", 67, []byte{0, 0})),
		"that the struct does not ha":      values(0, nil, message(id(-66), []byte{8})),
		"id 4294967362":                    one(join(named("[]interface {}"), id(1<<32+66), message(zero, zero)), anys),
		"id 4294967363":                    values(0, nil, sliceOf(66, 1<<32+67)),
		"not registered":                   one(holds("unknown", 66, []byte{0, 0}), anys),
		"8388608 of 8388608 elements are miss": one(holds(pkg+"pair", 67, join(zero, number(1<<23))),
			arrayOf(67, intID, 1<<23)),
		"1 elements of an array of 2": one(holds(pkg+"pair", 67, []byte{0, 1, 0}), arrayOf(67, intID, 2)),
		"a struct for a int": one(holds(pkg+"wideV2", 67, zero), structOf(67, field{"Keep", 68}),
			structOf(68)),
		"map for a codec.inner": one(holds(pkg+"wideV2", 67, zero), structOf(67, field{"A", 65}),
			mapOf(65, intID, intID)),
		"slice for a": one(holds(pkg+"wideV2", 67, zero),
			structOf(67, field{"A", 66}, field{"Keep", intID}), anys),
	} {
		if _, err := new(Gob).Decode(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one with %q", err, want)
		}
	}
}

// Decoding values of the greatest depth takes a stack far below Go's limit, which is 250 MB
// on 32-bit systems.
func TestStack(t *testing.T) {
	values := any(1)
	for range maxDepth/2 - 10 {
		values = []any{values}
	}
	data, err := encode(map[any]any{"deep": values})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan uint64)
	go func() {
		if _, err := new(Gob).Decode(data); err != nil {
			t.Error(err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		done <- m.StackInuse
	}()
	if got := <-done; got > 64<<20 {
		t.Errorf("the stacks have %d bytes", got)
	}
}
