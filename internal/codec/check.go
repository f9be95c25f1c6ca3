package codec

import (
	"errors"
	"fmt"
	"math"
	"reflect"
)

// What passes the check has no more than this. Sessions are far below.
const (
	// maxDepth is how deep values may lie within values, as in encoding/json: a list of
	// 10,000 elements that point to the next one. Decoding recurs, and Go's stack
	// overflow cannot be recovered from.
	maxDepth = 10_000

	// maxTypes is how many types a stream may describe.
	maxTypes = 4096

	// minMemory and memoryPerByte bound the memory that the values take in the types of
	// this process: so much, and so much more for each byte. A byte can be an element of a
	// slice, and that as large as the application's type.
	minMemory     = 16 << 20
	memoryPerByte = 256

	// minWork and workPerByte bound what encoding/gob compiles before it decodes, counted
	// in fields and element types. A field is compiled with all types that it has within,
	// however often they were.
	minWork     = 4096
	workPerByte = 4
)

var errMalformed = errors.New("gob: malformed")

// check walks through a stream as encoding/gob's Decoder does when it decodes a
// map[any]any, without making anything of it, and returns how many types it
// describes. There is an error where the decoder would take more memory, time or
// stack than the bytes are worth. There is none for what an Encoder has written and
// a Decoder can decode.
//
// Each element of a slice, array or map begins with a byte of its own, whatever its
// type; so where all elements that are claimed are there, all claims together are
// no more than the bytes. The decoder allocates by the claims, before it has seen the
// elements; the check has seen them before.
func check(data []byte) (types int, err error) {
	c := checker{
		rest:   data,
		types:  make(map[int64]*wireType),
		memory: minMemory + memoryPerByte*uint64(len(data)),
		work:   minWork + workPerByte*len(data),
	}
	id := c.typeID(false)
	if t := c.types[id]; t == nil || t.kind != mapKind || t.key != interfaceID || t.elem != interfaceID {
		c.fail("not a map[any]any")
	}
	c.typed(id, valuesType)
	if left := len(c.b) + len(c.rest); left > 0 {
		c.fail("%d bytes behind the values", left)
	}
	if c.bad && c.err == nil {
		c.err = errMalformed
	}
	return len(c.types), c.err
}

var valuesType = reflect.TypeFor[map[any]any]()

// checker walks through a stream. Its reader has what is left of the present message.
// After the first misfit it is bad and goes no further.
type checker struct {
	reader
	rest []byte // the messages behind the present one
	err  error

	types   map[int64]*wireType // as far as described
	order   []*wireType         // as described
	plans   map[planKey][]reflect.Type
	planned map[planKey]bool // what interfaces hold

	depth  int
	memory uint64 // that may still be taken
	work   int    // that may still be done
}

func (c *checker) fail(format string, args ...any) {
	if !c.bad {
		c.bad, c.err = true, fmt.Errorf("gob: "+format, args...)
	}
}

// enter and leave count how deep a recursion is.
func (c *checker) enter() {
	if c.depth++; c.depth > maxDepth {
		c.fail("nested deeper than %d", maxDepth)
	}
}

func (c *checker) leave() { c.depth-- }

// take counts memory for n values of a type, none where it is nil.
func (c *checker) take(n uint64, t reflect.Type) {
	if t == nil {
		return
	}
	if size := uint64(t.Size()); size > 0 && n > c.memory/size {
		c.fail("the values take too much memory")
	} else {
		c.memory -= n * size
	}
}

// message goes to the next message.
func (c *checker) message() {
	r := reader{b: c.rest, bad: c.bad}
	n := r.uint()
	if r.bad || n > uint64(len(r.b)) {
		c.fail("a message of %d bytes, %d are left", n, len(r.b))
		return
	}
	c.b, c.rest = r.b[:n], r.b[n:]
}

// typeID reads descriptions of types and the id behind them, of the type of the value
// that follows. An Encoder writes descriptions where a type is met for the first time.
// Outside of interfaces each is a message. In an interface that lies in no other one
// it is the end of a message, and the id is in another. In an interface within, there
// is a length behind it.
func (c *checker) typeID(within bool) int64 {
	for !c.bad {
		if len(c.b) == 0 {
			c.message()
		}
		id := c.int()
		if id > math.MaxInt32 || id < -math.MaxInt32 { // encoding/gob would cut it
			c.fail("a type with the id %d", id)
		}
		if c.bad || id >= 0 {
			return id
		}
		c.describe(-id)
		if len(c.b) > 0 {
			if !within {
				c.fail("%d bytes behind the description of a type", len(c.b))
			}
			c.uint()
		}
	}
	return 0
}

// typed reads a value that stands behind its type's id: all but structs have a zero
// before them.
func (c *checker) typed(id int64, t reflect.Type) {
	if w := c.types[id]; (w == nil || w.kind != structKind) && c.uint() != 0 {
		c.fail("no zero before a value")
	}
	c.value(id, t)
}

// value reads a value of the type that the stream calls id, and this process t; t is
// nil for what encoding/gob skips, and for types in which there is nothing that it reads
// otherwise than it skips it.
func (c *checker) value(id int64, t reflect.Type) {
	c.enter()
	defer c.leave()
	if t != nil && t.Kind() == reflect.Pointer {
		t = base(t)
		c.take(1, t)
	}
	switch id {
	case boolID, intID, uintID, floatID:
		c.uint()
		return
	case complexID:
		c.uint()
		c.uint()
		return
	case bytesID, stringID:
		c.bytes()
		return
	case interfaceID:
		c.interfaceValue(t)
		return
	}
	w := c.types[id]
	if w == nil {
		c.fail("a value of type %d, which is not described", id)
		return
	}
	switch w.kind {
	case opaqueKind:
		c.bytes()
	case arrayKind:
		n := c.uint()
		if n != uint64(w.len) {
			c.fail("%d elements of an array of %d", n, w.len)
		}
		c.elements(n, w, nil, c.elemOf(t, reflect.Array))
	case sliceKind:
		n, elem := c.uint(), c.elemOf(t, reflect.Slice)
		c.take(n, elem)
		c.elements(n, w, nil, elem)
	case mapKind:
		n, key, elem := c.uint(), c.keyOf(t), c.elemOf(t, reflect.Map)
		// All are decoded into the same two variables before they are put into the map.
		c.take(n+1, key)
		c.take(n+1, elem)
		c.elements(n, w, key, elem)
	case structKind:
		fields := c.plans[planKey{id, t}]
		for i := -1; c.field(&i, len(w.fields)); {
			c.value(w.fields[i].id, fields[i])
		}
	}
}

// elements reads n elements of a slice or array, or n keys and elements of a map. Each has
// a byte at least: encoding/gob takes a struct of none where a message ends, and another,
// and another.
func (c *checker) elements(n uint64, w *wireType, key, elem reflect.Type) {
	for i := range n {
		if w.kind == mapKind {
			c.value(w.key, key)
		}
		if len(c.b) == 0 {
			c.fail("%d of %d elements are missing", n-i, n)
		}
		if c.value(w.elem, elem); c.bad {
			return
		}
	}
}

// field goes to the next field of a struct of n, from field i, and reports whether there
// is one. A field begins with its distance to the one before. Behind the last is a zero,
// which may be missing where a message ends.
func (c *checker) field(i *int, n int) bool {
	if c.bad || len(c.b) == 0 {
		return false
	}
	delta := c.uint()
	if delta > uint64(n-1-*i) {
		c.fail("a field that the struct does not have")
	}
	*i += int(delta)
	return delta > 0 && !c.bad
}

// interfaceValue reads the name of a type, the descriptions that it needs, its id, the
// length of the value, and the value. Nil is the empty name alone.
func (c *checker) interfaceValue(t reflect.Type) {
	name := c.bytes()
	if t == nil {
		c.skipInterface(name)
		return
	}
	if len(name) == 0 {
		return
	}
	id := c.typeID(true)
	c.uint() // the length, which encoding/gob does not look at here
	if !c.bad {
		c.typed(id, c.localType(name, id))
	}
}

// skipInterface skips the value of an interface whose name has been read, as
// encoding/gob does: by its length. It believes that nil has an id and a length too, and
// takes what follows for them.
func (c *checker) skipInterface(name []byte) {
	if len(name) == 0 {
		c.fail("a nil interface in a field that this process does not know")
	}
	c.typeID(true)
	n := c.uint()
	if n > uint64(len(c.b)) {
		c.fail("a value of %d bytes, %d are left", n, len(c.b))
	}
	if !c.bad {
		c.b = c.b[n:]
	}
}
