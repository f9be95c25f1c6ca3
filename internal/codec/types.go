package codec

import (
	"reflect"
	"slices"
	"unicode"
	"unicode/utf8"
)

// firstTypeID is the lowest id that a description can give.
const firstTypeID = 64

// kind is the kind of a described type.
type kind int

const (
	unknownKind kind = iota
	arrayKind
	sliceKind
	structKind
	mapKind
	opaqueKind // the type encodes itself with a method; its value is bytes
)

// kinds are the kinds that the fields of a description stand for. Exactly one of the fields
// is there. The last three are GobEncoder, BinaryMarshaler and TextMarshaler.
var kinds = [...]kind{arrayKind, sliceKind, structKind, mapKind, opaqueKind, opaqueKind, opaqueKind}

// kindFields is how many fields the struct for each kind has.
var kindFields = [...]int{arrayKind: 3, sliceKind: 2, structKind: 2, mapKind: 3, opaqueKind: 1}

// wireType is a type that a stream describes. It refers to other types by their ids.
type wireType struct {
	id        int64
	text      []byte // the bytes that describe it
	kind      kind
	key, elem int64   // of a map; of an array or slice only elem
	len       int64   // of an array
	fields    []field // of a struct
	planned   *scope  // the scope in which it was last planned as a type to skip
}

// field is a field of a struct that a stream describes.
type field struct {
	name string
	id   int64
}

// describe reads the description of the type id: a struct that encoding/gob calls wireType.
func (c *checker) describe(id int64) {
	if id < firstTypeID || c.types[id] != nil {
		c.fail("a description of type %d, which exists already", id)
	}
	if len(c.types) == maxTypes {
		c.fail("more than %d types", maxTypes)
	}
	w := &wireType{id: id, text: c.b}
	for i := -1; c.field(&i, len(kinds)); {
		if w.kind != unknownKind {
			c.fail("a type of two kinds")
		}
		w.kind = kinds[i]
		c.describeKind(w)
	}
	if w.kind == unknownKind {
		c.fail("a type of no kind")
	}
	w.text = w.text[:len(w.text)-len(c.b)]
	c.types[id] = w
	c.order = append(c.order, w)
}

// describeKind reads the struct that encoding/gob has for a kind of type.
func (c *checker) describeKind(w *wireType) {
	for i := -1; c.field(&i, kindFields[w.kind]); {
		switch {
		case i == 0:
			// A name, and the id once more, which encoding/gob ignores.
			c.nameAndID()
		case w.kind == structKind:
			c.describeFields(w)
		case w.kind == arrayKind && i == 2:
			w.len = c.int()
		case w.kind == mapKind && i == 1:
			w.key = c.id()
		default:
			w.elem = c.id()
		}
	}
}

// describeFields reads the fields of a struct.
func (c *checker) describeFields(w *wireType) {
	for range c.uint() {
		name, id := c.nameAndID()
		if len(name) == 0 {
			c.fail("a field without a name")
		}
		if c.bad {
			return
		}
		w.fields = append(w.fields, field{string(name), id})
	}
}

// nameAndID reads a struct of a name and an id.
func (c *checker) nameAndID() (name []byte, id int64) {
	for i := -1; c.field(&i, 2); {
		if i == 0 {
			name = c.bytes()
		} else {
			id = c.id()
		}
	}
	return name, id
}

// id reads the id of a type. It fails if the id does not fit into 32 bits.
func (c *checker) id() int64 {
	id := c.int()
	if id != int64(int32(id)) {
		c.fail("a type with the id %d", id)
	}
	return id
}

// planKey is a type of the stream and the type of this process that it becomes; t is nil if
// it is skipped.
type planKey struct {
	id int64
	t  reflect.Type
}

// scope is what encoding/gob remembers while it compiles one struct, or one field that it
// skips.
type scope struct {
	first map[reflect.Type]int64 // the id with which a type of this process was met first
	again map[planKey]bool       // the other ids with which it was met
}

// plan follows encoding/gob as it compiles a decoder for a type, in the same order, but makes
// no decoder. It counts the work, and keeps the types that the fields of structs have in this
// process. Types of values in interfaces are planned when the values are read.
func (c *checker) plan(id int64, t reflect.Type, s *scope) {
	if c.enter(); c.bad {
		return
	}
	defer c.leave()
	c.spend(1)
	w := c.types[id]
	if w == nil || w.kind == opaqueKind || !c.meet(w, t, s) {
		return
	}
	if t != nil {
		t = base(t)
	}
	switch w.kind {
	case arrayKind:
		c.plan(w.elem, c.elemOf(t, reflect.Array), s)
	case sliceKind:
		c.plan(w.elem, c.elemOf(t, reflect.Slice), s)
	case mapKind:
		c.plan(w.key, c.keyOf(t), s)
		c.plan(w.elem, c.elemOf(t, reflect.Map), s)
	case structKind:
		c.planStruct(id, t)
	}
}

// meet reports whether a type is met for the first time in a scope.
//
// When encoding/gob meets a type of this process again, it decodes it as it did the first
// time, even if it has another id in the stream now. That is right only if both ids have the
// same description, as when two types of the writer have become one. Otherwise meet fails.
func (c *checker) meet(w *wireType, t reflect.Type, s *scope) bool {
	if t == nil {
		was := w.planned
		w.planned = s
		return was != s
	}
	first, ok := s.first[t]
	key := planKey{w.id, t}
	switch {
	case !ok:
		if s.first == nil {
			s.first = make(map[reflect.Type]int64)
		}
		s.first[t] = w.id
		return true
	case first == w.id || s.again[key]:
		return false
	case !c.alike(first, w.id, make(map[[2]int64]bool)):
		c.fail("%v has two different descriptions", t)
		return false
	}
	if s.again == nil {
		s.again = make(map[planKey]bool)
	}
	s.again[key] = true
	return true
}

// planStruct plans the fields of a struct.
func (c *checker) planStruct(id int64, t reflect.Type) {
	key := planKey{id, t}
	if c.plans[key] != nil {
		return
	}
	if t != nil && t.Kind() != reflect.Struct {
		c.fail("the stream has a struct for a %v", t)
	}
	if c.plans == nil {
		c.plans = make(map[planKey][]reflect.Type)
	}
	w := c.types[id]
	local := make([]reflect.Type, len(w.fields))
	c.plans[key] = local
	s := new(scope)
	for i, f := range w.fields {
		if c.bad {
			return
		}
		if t != nil && exported(f.name) {
			if known, ok := t.FieldByName(f.name); ok {
				local[i] = known.Type
			}
		}
		if local[i] == nil {
			c.plan(f.id, nil, new(scope))
		} else {
			c.plan(f.id, local[i], s)
		}
	}
}

// spend counts n pieces of work, and fails if that is too much.
func (c *checker) spend(n int) {
	if c.work -= n; c.work < 0 {
		c.fail("types that take too much work")
	}
}

// alike reports whether two types have the same description, apart from their own names and
// ids. seen has the pairs that are being compared.
func (c *checker) alike(a, b int64, seen map[[2]int64]bool) bool {
	if a == b || seen[[2]int64{a, b}] {
		return true
	}
	seen[[2]int64{a, b}] = true
	if c.enter(); c.bad {
		return false
	}
	defer c.leave()
	v, w := c.types[a], c.types[b]
	if v == nil || w == nil || v.kind != w.kind || v.len != w.len {
		return false
	}
	c.spend(1 + len(v.fields))
	return !c.bad && c.alike(v.key, w.key, seen) && c.alike(v.elem, w.elem, seen) &&
		slices.EqualFunc(v.fields, w.fields, func(f, g field) bool {
			return f.name == g.name && c.alike(f.id, g.id, seen)
		})
}

// keyOf returns the key type of a map type, nil if t is nil.
func (c *checker) keyOf(t reflect.Type) reflect.Type {
	if t == nil || t.Kind() != reflect.Map {
		return nil // elemOf fails
	}
	return t.Key()
}

// elemOf returns the element type of a type of kind k, nil if t is nil. It fails if t is of
// another kind.
func (c *checker) elemOf(t reflect.Type, k reflect.Kind) reflect.Type {
	if t == nil {
		return nil
	}
	if t.Kind() != k {
		c.fail("the stream has a %v for a %v", k, t)
		return nil
	}
	return t.Elem()
}

// base returns the type that a pointer type points to in the end, through all pointers. The
// limit is for types that point to themselves, which encoding/gob does not accept.
func base(t reflect.Type) reflect.Type {
	for range 100 {
		if t.Kind() != reflect.Pointer {
			break
		}
		t = t.Elem()
	}
	return t
}

// exported reports whether encoding/gob takes a name for that of an exported field.
func exported(name string) bool {
	r, _ := utf8.DecodeRuneInString(name)
	return unicode.IsUpper(r)
}
