package codec

import (
	"bytes"
	"encoding/gob"
	"reflect"
	"sync"
)

// localTypes are the types of this process that were met so far, by the names under which
// they were registered with gob.Register. A name keeps its type forever.
var localTypes sync.Map // of reflect.Type by string

// anyType is the type of an interface that can hold anything.
var anyType = reflect.TypeFor[any]()

// localType returns the type that was registered under a name in this process. In the stream
// the type is id. It returns nil if the value is read in the same way whatever the type is.
//
// The type matters only for what has structs in it: encoding/gob skips the fields that a
// struct does not have in this process, and skipping an interface differs from reading it.
func (c *checker) localType(name []byte, id int64) reflect.Type {
	if id == interfaceID {
		return anyType // the registered type is a pointer to an interface
	}
	if c.plain(id) {
		return nil
	}
	var t reflect.Type
	if known, ok := localTypes.Load(string(name)); ok {
		t = known.(reflect.Type)
	} else if t = c.probe(name, id); c.bad {
		return nil
	} else {
		localTypes.Store(string(name), t)
	}
	c.take(1, t)
	if key := (planKey{id, t}); !c.planned[key] {
		if c.planned == nil {
			c.planned = make(map[planKey]bool)
		}
		c.planned[key] = true
		c.plan(id, t, new(scope))
	}
	return t
}

// plain reports whether a type is basic or opaque, or an array of such a type.
func (c *checker) plain(id int64) bool {
	for range maxTypes {
		w := c.types[id]
		if w == nil {
			return id != interfaceID
		}
		if w.kind != arrayKind || w.len <= 0 {
			return w.kind == opaqueKind || w.kind == arrayKind
		}
		id = w.elem
	}
	return false
}

// probe returns the type that was registered under a name. Only encoding/gob knows it, so
// probe lets encoding/gob decode the shortest value of the type into an interface, and
// returns the type of the result.
func (c *checker) probe(name []byte, id int64) reflect.Type {
	c.plan(id, nil, new(scope)) // encoding/gob will compile the type for this
	empty := c.appendEmpty(nil, id)
	if c.bad {
		return nil
	}
	if c.types[id].kind != structKind {
		empty = append([]byte{0}, empty...)
	}
	var stream []byte
	for _, w := range c.order {
		stream = appendText(stream, append(appendInt(nil, -w.id), w.text...))
	}
	m := append(appendInt(nil, interfaceID), 0)
	m = appendText(appendInt(appendText(m, name), id), empty)
	stream = appendText(stream, m)
	var v any
	if err := gob.NewDecoder(bytes.NewReader(stream)).Decode(&v); err != nil {
		c.bad, c.err = true, err
		return nil
	}
	return reflect.TypeOf(v)
}

// appendEmpty appends the shortest value of a type. It is never longer than the value in the
// stream.
func (c *checker) appendEmpty(b []byte, id int64) []byte {
	c.enter()
	defer c.leave()
	w := c.types[id]
	switch {
	case id == complexID:
		return append(b, 0, 0)
	case w == nil || w.kind != arrayKind:
		return append(b, 0) // the number 0, no bytes, no elements, no fields, or nil
	}
	b = appendUint(b, uint64(w.len))
	for range w.len {
		if len(b) > len(c.b)+len(c.rest) {
			c.fail("an array longer than what is left")
		}
		if c.bad {
			break
		}
		b = c.appendEmpty(b, w.elem)
	}
	return b
}
