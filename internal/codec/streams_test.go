package codec

import (
	"encoding"
	"encoding/gob"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// writer writes streams as an encoder of another build might. Its types are those of this
// process with some changes. Now and then it writes a wrong length.
type writer struct {
	random
	ids         map[reflect.Type]int64
	types       map[int64]*wireType
	undescribed []int64 // the types that are not described yet
	honest      int     // one in so many lengths is wrong
}

// nameOf has the names under which types are registered.
var nameOf = map[reflect.Type]string{
	reflect.TypeFor[int]():              "int",
	reflect.TypeFor[string]():           "string",
	reflect.TypeFor[[]byte]():           "[]uint8",
	reflect.TypeFor[complex128]():       "complex128",
	reflect.TypeFor[[]any]():            "[]interface {}",
	reflect.TypeFor[map[string]any]():   "map[string]interface {}",
	reflect.TypeFor[map[any]any]():      "map[interface {}]interface {}",
	reflect.TypeFor[[3]any]():           "[3]interface {}",
	reflect.TypeFor[[]map[string]int](): "[]map[string]int",
	reflect.TypeFor[map[inner]inner]():  "map[codec.inner]codec.inner",
	reflect.TypeFor[inner]():            pkg + "inner",
	reflect.TypeFor[embedded]():         pkg + "embedded",
	reflect.TypeFor[*node]():            "*codec.node",
	reflect.TypeFor[*tree]():            "*codec.tree",
	reflect.TypeFor[nest]():             pkg + "nest",
	reflect.TypeFor[chain]():            pkg + "chain",
	reflect.TypeFor[pair]():             pkg + "pair",
	reflect.TypeFor[void]():             pkg + "void",
	reflect.TypeFor[full]():             pkg + "full",
	reflect.TypeFor[wideV1]():           pkg + "wideV1",
	reflect.TypeFor[wideV2]():           pkg + "wideV2",
	reflect.TypeFor[swapV2]():           pkg + "swapV2",
	reflect.TypeFor[own]():              pkg + "own",
	reflect.TypeFor[time.Time]():        "time.Time",
	reflect.TypeFor[*any]():             "*interface {}",
}

// namedTypes are the types of nameOf, in the order of their names.
var namedTypes = func() (all []reflect.Type) {
	for t := range nameOf {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b reflect.Type) int { return strings.Compare(nameOf[a], nameOf[b]) })
	return all
}()

// fieldNames are the names of fields that fieldsOf adds.
var fieldNames = []string{"X", "Y", "A", "B", "C", "Keep", "Extra", "List", "Inner", "N", "Unknown", "Next", "V"}

// basicIDs are the ids of gob's basic types.
var basicIDs = map[reflect.Kind]int64{
	reflect.Bool: boolID, reflect.Int: intID, reflect.Int16: intID, reflect.Uint8: uintID, reflect.Uint16: uintID,
	reflect.Float32: floatID, reflect.Complex128: complexID, reflect.String: stringID, reflect.Interface: interfaceID,
}

// one returns true once in so many times.
func (w *writer) one(in int) bool { return w.IntN(in) == 0 }

// idOf returns the id of a type. If the type has none yet, it is added to undescribed.
func (w *writer) idOf(t reflect.Type) int64 {
	t = base(t)
	if basic := basicIDs[t.Kind()]; basic != 0 && t.PkgPath() == "" {
		return basic
	}
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		return bytesID
	}
	// Now and then a type is described a second time, in another way.
	if of, ok := w.ids[t]; ok && (!w.one(10) || len(w.types) > 40) {
		return of
	}
	of := int64(valuesID + 1 + len(w.types))
	d := &wireType{}
	w.ids[t], w.types[of] = of, d
	p := reflect.PointerTo(t)
	switch {
	case p.Implements(reflect.TypeFor[gob.GobEncoder]()), p.Implements(reflect.TypeFor[encoding.BinaryMarshaler]()):
		d.kind = opaqueKind
	case t.Kind() == reflect.Array:
		d.kind, d.elem, d.len = arrayKind, w.idOf(t.Elem()), int64(t.Len())
	case t.Kind() == reflect.Slice:
		d.kind, d.elem = sliceKind, w.idOf(t.Elem())
	case t.Kind() == reflect.Map:
		d.kind, d.key, d.elem = mapKind, w.idOf(t.Key()), w.idOf(t.Elem())
	default:
		d.kind, d.fields = structKind, w.fieldsOf(t)
	}
	w.undescribed = append(w.undescribed, of)
	return of
}

// fieldsOf returns the fields of a struct. It leaves some out, adds some, and sometimes
// changes their order.
func (w *writer) fieldsOf(t reflect.Type) (all []field) {
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && !w.one(8) {
			all = append(all, field{f.Name, w.idOf(f.Type)})
		}
	}
	for w.one(2) {
		all = append(all, field{fieldNames[w.IntN(len(fieldNames))], w.idOf(namedTypes[w.IntN(len(namedTypes))])})
	}
	if w.one(3) {
		w.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	return all
}

// describe returns the descriptions of all types that are not described yet.
func (w *writer) describe() (all [][]byte) {
	for _, of := range w.undescribed {
		switch d := w.types[of]; d.kind {
		case arrayKind:
			all = append(all, arrayOf(of, d.elem, d.len))
		case sliceKind:
			all = append(all, sliceOf(of, d.elem))
		case mapKind:
			all = append(all, mapOf(of, d.key, d.elem))
		case structKind:
			all = append(all, structOf(of, d.fields...))
		default:
			all = append(all, opaque(of))
		}
	}
	w.undescribed = nil
	return all
}

// length returns the length n, or now and then a wrong one.
func (w *writer) length(n int) []byte {
	if w.one(w.honest) {
		return number(w.Uint64() >> w.IntN(64))
	}
	return number(uint64(n))
}

// bytes returns bytes with their length in front.
func (w *writer) bytes(b []byte) []byte { return join(w.length(len(b)), b) }

// interfaceValue returns an interface that holds a value of some type, or nil.
func (w *writer) interfaceValue(depth int) []byte {
	if depth <= 0 || w.one(8) {
		return zero
	}
	t := namedTypes[w.IntN(len(namedTypes))]
	of := w.idOf(t)
	b := named(nameOf[t])
	for _, m := range w.describe() {
		within := reader{b: m}
		b = join(b, within.bytes(), number(w.Uint64N(100))) // this length is ignored
	}
	v := w.value(of, depth-1)
	if d := w.types[of]; d == nil || d.kind != structKind {
		v = join(zero, v)
	}
	return join(b, id(of), w.bytes(v))
}

// value returns a value of a type.
func (w *writer) value(of int64, depth int) []byte {
	switch of {
	case boolID, intID, uintID, floatID:
		return number(w.Uint64N(100))
	case complexID:
		return join(number(floating(1)), zero)
	case bytesID, stringID:
		return w.bytes([]byte(w.text()))
	case interfaceID:
		return w.interfaceValue(depth)
	}
	d := w.types[of]
	n := 0
	if depth > 0 {
		n = w.IntN(4)
	}
	if d.kind == arrayKind {
		n = int(d.len)
	}
	var b []byte
	switch d.kind {
	case opaqueKind:
		data, _ := w.time().MarshalBinary() // other types accept these bytes too
		return w.bytes(data)
	case structKind:
		last := -1
		for i, f := range d.fields {
			if depth > 0 && w.one(2) {
				b = join(b, number(uint64(i-last)), w.value(f.id, depth-1))
				last = i
			}
		}
		return join(b, zero)
	}
	b = w.length(n)
	for range n {
		if d.kind == mapKind {
			b = join(b, w.value(d.key, depth-1))
		}
		b = join(b, w.value(d.elem, depth-1))
	}
	return b
}

// stream returns a stream that depends on the seed alone.
func stream(seed uint64) []byte {
	w := &writer{
		random: random{rand.New(rand.NewPCG(seed, 1))},
		ids:    make(map[reflect.Type]int64),
		types:  make(map[int64]*wireType),
		honest: 200,
	}
	if w.one(2) {
		for _, t := range namedTypes {
			if w.one(2) {
				w.idOf(t)
			}
		}
	}
	early := w.describe()
	n := 1 + w.IntN(3)
	var entries []byte
	for range n {
		entries = join(entries, key, w.interfaceValue(6))
	}
	return values(uint64(n), entries, early...)
}

// Decode and encoding/gob agree on streams of which some are good and some are not.
func TestStreams(t *testing.T) {
	c := new(Gob)
	good := 0
	const all = 2000
	for seed := range uint64(all) {
		if checkDecode(t, c, stream(seed)) {
			good++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if good < all/3 || good > all*9/10 {
		t.Errorf("%d of %d streams are good: the test means little", good, all)
	}
}

// The same as TestStreams, for any seed.
func FuzzGobStreams(f *testing.F) {
	c := new(Gob)
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { checkDecode(t, c, stream(seed)) })
}
