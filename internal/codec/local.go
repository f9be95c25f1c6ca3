package codec

import (
	"bytes"
	"encoding/gob"
	"reflect"
	"sync"
)

// localTypes are types of this process by the names under which gob.Register knows
// them. A name has one type, for good.
var localTypes sync.Map // of reflect.Type by string

var anyType = reflect.TypeFor[any]()

// localType returns the type that this process has registered under a name, for a
// value that the stream calls id; nil if the value is read alike whatever the type.
//
// It matters for structs alone: encoding/gob skips the fields that they do not have
// here, and an interface is not skipped as it is read.
func (c *checker) localType(name []byte, id int64) reflect.Type {
	if id == interfaceID {
		return anyType // a pointer to one
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

// plain reports whether a type is a basic one or opaque, or an array of such.
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

// probe has encoding/gob, which alone knows what was registered, decode the emptiest
// value of the type into an interface, and returns the type of what has come out.
func (c *checker) probe(name []byte, id int64) reflect.Type {
	c.plan(id, nil, new(scope)) // encoding/gob is going to compile it
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

// appendEmpty appends the emptiest value of a type. It is never longer than the one in
// the stream.
func (c *checker) appendEmpty(b []byte, id int64) []byte {
	c.enter()
	defer c.leave()
	w := c.types[id]
	switch {
	case id == complexID:
		return append(b, 0, 0)
	case w == nil || w.kind != arrayKind:
		return append(b, 0) // zero, no bytes, no elements, no fields, or nil
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
