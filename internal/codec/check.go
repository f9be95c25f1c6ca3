package codec

import (
	"errors"
	"fmt"
	"math"
	"reflect"
)

// The limits of the check. Sessions are far below them.
const (
	// maxDepth is how deep values may be nested: a list of 10,000 elements of which each
	// points to the next one. encoding/json has the same limit. Decoding recurs for each
	// level, and a process cannot recover from a stack overflow.
	maxDepth = 10_000

	// maxTypes is how many types a stream may describe.
	maxTypes = 4096

	// minMemory and memoryPerByte limit the memory that the values take in this process:
	// minMemory, and memoryPerByte more for each byte of the stream. One byte can stand for
	// a whole element of a slice, and the element is as large as the application's type.
	minMemory     = 16 << 20
	memoryPerByte = 256

	// minWork and workPerByte limit what encoding/gob compiles before it decodes, counted in
	// fields and element types. For each field, encoding/gob compiles all the types within
	// it again.
	minWork     = 4096
	workPerByte = 4
)

var errMalformed = errors.New("gob: malformed")

// check walks through a stream as the Decoder of encoding/gob does when it decodes a
// map[any]any, but makes no values. It returns how many types the stream describes. It
// returns an error if decoding would take more memory, time or stack than the number of
// bytes justifies. It returns none for what an Encoder has written and a Decoder can decode.
//
// The decoder allocates as many elements as the stream claims, before it has seen them. The
// check has seen them before. Each element of a slice, array or map takes a byte at least,
// whatever its type is, so if all elements are there, the claims of the whole stream are no
// more than its bytes.
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
		c.fail("%d bytes after the values", left)
	}
	if c.bad && c.err == nil {
		c.err = errMalformed
	}
	return len(c.types), c.err
}

// valuesType is the type of a session's values.
var valuesType = reflect.TypeFor[map[any]any]()

// checker walks through a stream. Its reader has what is left of the present message. After
// the first error it is bad and goes no further.
type checker struct {
	reader
	rest []byte // the messages after the present one
	err  error

	types   map[int64]*wireType        // the types described so far, by id
	order   []*wireType                // the same, in the order of their descriptions
	plans   map[planKey][]reflect.Type // for structs, the types that their fields have here; see plan
	planned map[planKey]bool           // the types in interfaces for which plan was called

	depth  int    // how deep the recursion is
	memory uint64 // how much memory the values may still take
	work   int    // how much encoding/gob may still compile
}

// fail notes the first error.
func (c *checker) fail(format string, args ...any) {
	if !c.bad {
		c.bad, c.err = true, fmt.Errorf("gob: "+format, args...)
	}
}

// enter begins a level of recursion, and fails if it is too deep.
func (c *checker) enter() {
	if c.depth++; c.depth > maxDepth {
		c.fail("nested deeper than %d", maxDepth)
	}
}

// leave ends a level of recursion.
func (c *checker) leave() { c.depth-- }

// take counts the memory of n values of type t, none if t is nil. It fails if that is too
// much.
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

// message goes on to the next message.
func (c *checker) message() {
	r := reader{b: c.rest, bad: c.bad}
	n := r.uint()
	if r.bad || n > uint64(len(r.b)) {
		c.fail("a message of %d bytes, %d are left", n, len(r.b))
		return
	}
	c.b, c.rest = r.b[:n], r.b[n:]
}

// typeID reads the id of the type of the value that follows, and the descriptions in front
// of it. An Encoder describes a type before its first value. Outside of interfaces each
// description is a message of its own. In an interface, the description is the end of the
// present message, and the id comes in the next one. In an interface within an interface, a
// length follows the description instead, in the same message. within says that the value is
// in an interface.
func (c *checker) typeID(within bool) int64 {
	for !c.bad {
		if len(c.b) == 0 {
			c.message()
		}
		id := c.int()
		if id > math.MaxInt32 || id < -math.MaxInt32 { // encoding/gob would use the low 32 bits
			c.fail("a type with the id %d", id)
		}
		if c.bad || id >= 0 {
			return id
		}
		c.describe(-id)
		if len(c.b) > 0 {
			if !within {
				c.fail("%d bytes after the description of a type", len(c.b))
			}
			c.uint()
		}
	}
	return 0
}

// typed reads a value that follows the id of its type. In front of every value but a struct
// there is a zero.
func (c *checker) typed(id int64, t reflect.Type) {
	if w := c.types[id]; (w == nil || w.kind != structKind) && c.uint() != 0 {
		c.fail("no zero before a value")
	}
	c.value(id, t)
}

// value reads a value. In the stream its type is id, in this process t. t is nil if
// encoding/gob skips the value, and if skipping and reading the value are the same.
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
		c.fail("a value of type %d, which has no description", id)
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
		// The one more is for the two variables into which encoding/gob decodes each key and
		// element before it puts them into the map.
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

// elements reads n elements of a slice or array, or n keys and elements of a map. Each must
// have a byte at least. At the end of a message encoding/gob would accept a struct of no
// bytes, and another one, without end.
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

// field goes from field i of a struct of n fields to the next one that is there, and reports
// whether there is one. A field begins with its distance to the one before. A zero follows
// the last field; it may be missing at the end of a message.
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

// interfaceValue reads a value in an interface: the name of its type, the descriptions that
// the type needs, its id, the length of the value, and the value itself. A nil interface is
// an empty name and nothing else.
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
	c.uint() // the length, which encoding/gob ignores here
	if !c.bad {
		c.typed(id, c.localType(name, id))
	}
}

// skipInterface skips a value in an interface, whose name has been read, as encoding/gob
// does: by its length. It fails for a nil interface: encoding/gob expects an id and a length
// there too, and would take them from the bytes of something else.
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
