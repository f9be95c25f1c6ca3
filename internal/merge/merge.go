package merge

import (
	"math"
	"reflect"
	"slices"
)

// flashKey is the key under which gorilla/sessions keeps flashes, unless the application
// names another one.
const flashKey = "_flash"

// Changes is what must be done to mine, so that it has what both requests have done.
type Changes struct {
	Set    map[any]any
	Delete []any
}

// Values returns the changes to mine. It changes none of the maps, but the result shares
// values with theirs.
func Values(base, mine, theirs map[any]any) Changes {
	c := Changes{Set: make(map[any]any)}
	put := func(key, value any, there bool) {
		if there {
			c.Set[key] = value
		} else {
			c.Delete = append(c.Delete, key)
		}
	}
	visit := func(key any) {
		b, m, t := at(base, key), at(mine, key), at(theirs, key)
		switch {
		case t.same(b): // only mine can be new
		case m.same(b):
			put(key, t.value, t.there)
		default:
			if list, ok := lists(key, b, m, t); ok {
				put(key, list, len(list) > 0)
			}
		}
	}
	for key := range theirs {
		visit(key)
	}
	for key := range base {
		if _, visited := theirs[key]; !visited {
			visit(key)
		}
	}
	return c
}

// entry is what a map has under a key.
type entry struct {
	value any
	there bool
}

func at(values map[any]any, key any) entry {
	v, there := values[key]
	return entry{v, there}
}

// same reports whether two entries are equal. NaN equals itself here: it is the same value,
// read twice.
func (e entry) same(other entry) bool {
	if e.there != other.there {
		return false
	}
	if a, ok := e.value.(float64); ok && math.IsNaN(a) {
		b, ok := other.value.(float64)
		return ok && math.IsNaN(b)
	}
	return reflect.DeepEqual(e.value, other.value)
}

// lists merges a list that both have changed. ok is false if one of them is no list, or both have
// changed it in another way than by appending to it and by deleting it.
func lists(key any, base, mine, theirs entry) (merged []any, ok bool) {
	b, ok := base.list()
	if !ok {
		return nil, false
	}
	added, read, ok := since(key, b, mine)
	if !ok {
		return replaced(b, mine, theirs)
	}
	rest, ok := theirs.list()
	if !ok {
		return nil, false
	}
	if read {
		rest = without(rest, b)
	}
	return slices.Concat(rest, added), true
}

// replaced merges a list that I have replaced and they have appended to: a flash of theirs stays.
func replaced(base []any, mine, theirs entry) (merged []any, ok bool) {
	list, ok := mine.list()
	if !ok {
		return nil, false
	}
	added, read, ok := since(nil, base, theirs)
	return slices.Concat(list, added), ok && !read
}

// list returns the list under a key; an empty one if there is nothing.
func (e entry) list() (list []any, ok bool) {
	if !e.there {
		return nil, true
	}
	list, ok = e.value.([]any)
	return list, ok
}

// since returns what was appended to a list since it was base, and whether it was read, which
// means deleted, before.
func since(key any, base []any, now entry) (added []any, read, ok bool) {
	list, ok := now.list()
	switch {
	case !ok:
		return nil, false, false
	case len(base) == 0 || len(list) >= len(base) && reflect.DeepEqual(list[:len(base)], base):
		return list[len(base):], false, true
	case len(list) == 0 || key == flashKey: // read, and perhaps added to afterwards
		return list, true, true
	}
	return nil, false, false
}

// without returns the list without the items of another one, each taken out once.
func without(list, items []any) []any {
	list = slices.Clone(list)
	for _, item := range items {
		i := slices.IndexFunc(list, func(x any) bool { return reflect.DeepEqual(x, item) })
		if i >= 0 {
			list = slices.Delete(list, i, i+1)
		}
	}
	return list
}
