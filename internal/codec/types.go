package codec

import (
	"reflect"
	"slices"
	"unicode"
	"unicode/utf8"
)

// firstTypeID is the least id of a type that a stream describes.
const firstTypeID = 64

// kind is what a described type is.
type kind int

const (
	unknownKind kind = iota
	arrayKind
	sliceKind
	structKind
	mapKind
	opaqueKind // bytes for a method of the type's own
)

// kinds are those of the fields of a description, one of which is there.
var kinds = [...]kind{arrayKind, sliceKind, structKind, mapKind, opaqueKind, opaqueKind, opaqueKind}

// kindFields is how many fields the description of each kind has.
var kindFields = [...]int{arrayKind: 3, sliceKind: 2, structKind: 2, mapKind: 3, opaqueKind: 1}

// wireType is a type that a stream describes. It refers to others by their ids.
type wireType struct {
	id        int64
	text      []byte // that describes it
	kind      kind
	key, elem int64
	len       int64
	fields    []field
	planned   *scope // in which it was last planned, to be skipped
}

type field struct {
	name string
	id   int64
}

// describe reads the description of the type id: what encoding/gob calls a wireType,
// as a struct.
func (c *checker) describe(id int64) {
	if id < firstTypeID || c.types[id] != nil {
		c.fail("a description of type %d, which there is", id)
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

// describeKind reads the struct that encoding/gob has for a kind of types.
func (c *checker) describeKind(w *wireType) {
	for i := -1; c.field(&i, kindFields[w.kind]); {
		switch {
		case i == 0:
			// A name, and the id once more, which encoding/gob does not look at.
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

// id reads the id of a type, which has 32 bits.
func (c *checker) id() int64 {
	id := c.int()
	if id != int64(int32(id)) {
		c.fail("a type with the id %d", id)
	}
	return id
}

// planKey is a struct of the stream's and the type of this process that it becomes;
// nil if it is skipped.
type planKey struct {
	id int64
	t  reflect.Type
}

// scope is what encoding/gob remembers while it compiles one struct, or one field that
// it skips.
type scope struct {
	first map[reflect.Type]int64 // as which a type of this process was met first
	again map[planKey]bool       // as which others it was met
}

// plan does what encoding/gob does to compile a decoder for a type, in the same order,
// but for the decoder: it counts the work, and keeps the types that the fields of
// structs have here. What lies in interfaces comes later.
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
// A type of this process that it has met there, encoding/gob decodes as it did then, even
// if the stream now calls it something else. That makes no difference if both are
// described alike, as where two of the writer's types have become one.
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
		c.fail("%v has two descriptions, which differ", t)
		return false
	}
	if s.again == nil {
		s.again = make(map[planKey]bool)
	}
	s.again[key] = true
	return true
}

func (c *checker) planStruct(id int64, t reflect.Type) {
	key := planKey{id, t}
	if c.plans[key] != nil {
		return
	}
	if t != nil && t.Kind() != reflect.Struct {
		c.fail("a struct for a %v", t)
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

func (c *checker) spend(n int) {
	if c.work -= n; c.work < 0 {
		c.fail("types that take too much work")
	}
}

// alike reports whether two types are described alike, but for their own names and ids.
// Those that are being compared are in seen.
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

// keyOf and elemOf return the types within a type, nil for nil.
func (c *checker) keyOf(t reflect.Type) reflect.Type {
	if t == nil || t.Kind() != reflect.Map {
		return nil // elemOf says so
	}
	return t.Key()
}

func (c *checker) elemOf(t reflect.Type, k reflect.Kind) reflect.Type {
	if t == nil {
		return nil
	}
	if t.Kind() != k {
		c.fail("a %v for a %v", k, t)
		return nil
	}
	return t.Elem()
}

// base returns what pointers of type t point to in the end. encoding/gob knows no types
// that point to themselves, and no longer ways.
func base(t reflect.Type) reflect.Type {
	for range 100 {
		if t.Kind() != reflect.Pointer {
			break
		}
		t = t.Elem()
	}
	return t
}

// exported is what encoding/gob takes for the name of an exported field.
func exported(name string) bool {
	r, _ := utf8.DecodeRuneInString(name)
	return unicode.IsUpper(r)
}
