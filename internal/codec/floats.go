package codec

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// markFloats returns a value like v, for encoding/json, in which each float64 and float32
// has a point or an exponent, so that Decode can tell it from an integer. It copies the
// slices and maps that may hold one, and leaves structs and types with a method of their own
// as they are. It fails if v is nested too deep; a map that contains itself is.
func markFloats(v any, depth int) (any, error) {
	if v == nil {
		return nil, nil
	}
	if depth >= maxDepth {
		return nil, fmt.Errorf("json: nested deeper than %d", maxDepth)
	}
	r := reflect.ValueOf(v)
	if encodesItself(r.Type()) {
		return v, nil
	}
	switch r.Kind() {
	case reflect.Float32, reflect.Float64:
		return markFloat(v)
	case reflect.Pointer:
		if r.IsNil() {
			return nil, nil
		}
		if mayHoldFloats(r.Type().Elem()) {
			return markFloats(r.Elem().Interface(), depth+1)
		}
	case reflect.Slice, reflect.Array:
		if mayHoldFloats(r.Type().Elem()) && (r.Kind() == reflect.Array || !r.IsNil()) {
			return markElements(r, depth)
		}
	case reflect.Map:
		if mayHoldFloats(r.Type().Elem()) && !r.IsNil() {
			return markEntries(r, depth)
		}
	}
	return v, nil
}

func markElements(r reflect.Value, depth int) (any, error) {
	out := make([]any, r.Len())
	for i := range out {
		var err error
		if out[i], err = markFloats(r.Index(i).Interface(), depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func markEntries(r reflect.Value, depth int) (any, error) {
	out := reflect.MakeMapWithSize(reflect.MapOf(r.Type().Key(), anyType), r.Len())
	for each := r.MapRange(); each.Next(); {
		marked, err := markFloats(each.Value().Interface(), depth+1)
		if err != nil {
			return nil, err
		}
		elem := reflect.Zero(anyType)
		if marked != nil {
			elem = reflect.ValueOf(marked)
		}
		out.SetMapIndex(each.Key(), elem)
	}
	return out.Interface(), nil
}

// markFloat returns a number as encoding/json writes it, and with ".0" behind it if it would
// be an integer. encoding/json refuses numbers that are not finite, by the error that it
// returns here.
func markFloat(v any) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if !strings.ContainsAny(string(text), ".eE") {
		text = append(text, ".0"...)
	}
	return json.Number(text), nil
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// encodesItself reports whether values of a type have a method by which encoding/json encodes
// them.
func encodesItself(t reflect.Type) bool {
	return t.Implements(jsonMarshaler) || t.Implements(textMarshaler)
}

// mayHoldFloats reports whether a slice, map or pointer with elements of this type is worth
// a walk. A method of the pointer to the type counts too: encoding/json uses it for elements
// of slices.
func mayHoldFloats(t reflect.Type) bool {
	if encodesItself(reflect.PointerTo(t)) {
		return false
	}
	switch t.Kind() {
	case reflect.Float32, reflect.Float64, reflect.Interface, reflect.Map, reflect.Slice, reflect.Array, reflect.Pointer:
		return true
	}
	return false
}
