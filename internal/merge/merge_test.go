package merge

import (
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

type values = map[any]any

func list(items ...any) []any { return items }

// applied returns mine after the changes.
func applied(base, mine, theirs values) values {
	c := Values(base, mine, theirs)
	merged := maps.Clone(mine)
	maps.Copy(merged, c.Set)
	for _, key := range c.Delete {
		delete(merged, key)
	}
	return merged
}

func TestValues(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct{ base, mine, theirs, want values }{
		"other keys": {
			values{"a": 1, "b": 1}, values{"a": 2, "b": 1}, values{"a": 1, "b": 1, "c": 3}, values{"a": 2, "b": 1, "c": 3},
		},
		"both set a key":        {values{"a": 1}, values{"a": 2}, values{"a": 3}, values{"a": 2}},
		"both add a key":        {nil, values{"a": 2}, values{"a": 3}, values{"a": 2}},
		"they delete":           {values{"a": 1, "b": 1}, values{"a": 1, "b": 2}, values{"b": 1}, values{"b": 2}},
		"I delete":              {values{"a": 1, "b": 1}, values{"b": 1}, values{"a": 1, "b": 2}, values{"b": 2}},
		"both delete":           {values{"a": 1}, nil, nil, values{}},
		"I delete, they set":    {values{"a": 1}, values{}, values{"a": 2}, values{}},
		"I set, they delete":    {values{"a": 1}, values{"a": 2}, values{}, values{"a": 2}},
		"I clear, they add":     {values{"a": 1, "b": 1}, values{}, values{"a": 1, "b": 1, "c": 1}, values{"c": 1}},
		"nil is a value":        {values{"a": nil}, values{"a": nil}, values{}, values{}},
		"set to what it was":    {values{"a": 1}, values{"a": 1}, values{"a": 2}, values{"a": 2}},
		"changed within":        {values{"a": values{"x": 1}}, values{"a": values{"x": 1}}, values{"a": values{"x": 2}}, values{"a": values{"x": 2}}},
		"not a number":          {values{"a": math.NaN()}, values{"a": math.NaN()}, values{"a": 1.0}, values{"a": 1.0}},
		"both append":           {values{"_flash": list("a")}, values{"_flash": list("a", "m")}, values{"_flash": list("a", "t")}, values{"_flash": list("a", "t", "m")}},
		"both begin a list":     {nil, values{"error": list("m")}, values{"error": list("t")}, values{"error": list("t", "m")}},
		"I read, they append":   {values{"error": list("a")}, values{}, values{"error": list("a", "t")}, values{"error": list("t")}},
		"they read, I append":   {values{"_flash": list("a")}, values{"_flash": list("a", "m")}, values{}, values{"_flash": list("m")}},
		"both read":             {values{"_flash": list("a")}, values{}, values{}, values{}},
		"I read and append":     {values{"_flash": list("a")}, values{"_flash": list("m")}, values{"_flash": list("a", "t")}, values{"_flash": list("t", "m")}},
		"both read, of two":     {values{"_flash": list("a", "b")}, values{}, values{"_flash": list("b", "t")}, values{"_flash": list("t")}},
		"two that are equal":    {values{"_flash": list("a", "a")}, values{}, values{"_flash": list("a", "a", "a")}, values{"_flash": list("a")}},
		"I replace a list":      {values{"list": list("a")}, values{"list": list("m")}, values{"list": list("a", "t")}, values{"list": list("m", "t")}},
		"I replace, they read":  {values{"list": list("a")}, values{"list": list("m")}, values{}, values{"list": list("m")}},
		"both replace a list":   {values{"list": list("a")}, values{"list": list("m")}, values{"list": list("t")}, values{"list": list("m")}},
		"they replace a list":   {values{"list": list("a")}, values{"list": list("a", "m")}, values{"list": list("t")}, values{"list": list("t", "m")}},
		"a list and a text":     {values{"list": list("a")}, values{"list": "m"}, values{"list": list("a", "t")}, values{"list": "m"}},
		"I append, they do not": {values{"_flash": list("a")}, values{"_flash": list("a", "m")}, values{"_flash": list("a"), "b": 1}, values{"_flash": list("a", "m"), "b": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if x.base == nil {
				x.base = values{}
			}
			if x.mine == nil {
				x.mine = values{}
			}
			if x.theirs == nil {
				x.theirs = values{}
			}
			if got := applied(x.base, x.mine, x.theirs); !reflect.DeepEqual(got, x.want) {
				t.Errorf("merged %v and %v, both from %v, to %v, want %v", x.mine, x.theirs, x.base, got, x.want)
			}
		})
	}
}

// The merged values are those that the same changes give one after the other, key by key.
func TestValuesAreThoseOfOneAfterTheOther(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	draw := func(of values, tag int) (after values, changed map[any]bool) {
		after, changed = maps.Clone(of), make(map[any]bool)
		for range r.IntN(4) {
			key := r.IntN(5)
			changed[key] = true
			if r.IntN(3) == 0 {
				delete(after, key)
			} else {
				after[key] = tag*1000 + r.IntN(1000)
			}
		}
		return after, changed
	}
	for range 10_000 {
		base, _ := draw(values{}, 1)
		theirs, _ := draw(base, 2)
		mine, changed := draw(base, 3)
		want := maps.Clone(theirs)
		for key := range changed {
			m, there := mine[key]
			b, was := base[key]
			switch {
			case there == was && m == b: // set to what it was, or added and deleted
			case there:
				want[key] = m
			default:
				delete(want, key)
			}
		}
		if got := applied(base, mine, theirs); !reflect.DeepEqual(got, want) {
			t.Fatalf("merged %v and %v, both from %v, to %v, want %v", mine, theirs, base, got, want)
		}
	}
}
