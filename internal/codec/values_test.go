package codec

import (
	"bytes"
	"encoding/gob"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// random makes values of all kinds, some of them nested in others.
type random struct{ *rand.Rand }

func newRandom(seed uint64) random { return random{rand.New(rand.NewPCG(seed, 0))} }

func (r random) values() map[any]any { return r.table(4) }

func (r random) table(depth int) map[any]any {
	m := make(map[any]any)
	for range r.IntN(5) {
		m[r.key()] = r.any(depth)
	}
	return m
}

func (r random) key() any {
	keys := []any{
		r.text(), r.IntN(1000), int8(r.Int()), r.Uint64(), r.Float64(), r.IntN(2) == 0, r.inner(), pair{r.inner(), r.inner()},
		[3]any{1, r.text(), nil}, complex(1, r.Float64()), raw(r.text()),
	}
	return keys[r.IntN(len(keys))]
}

func (r random) text() string { return string(make([]byte, r.IntN(200))) + "text" }

func (r random) inner() inner { return inner{r.IntN(3), r.IntN(3)} }

func (r random) any(depth int) any {
	if depth == 0 {
		return r.key()
	}
	depth--
	makers := []func() any{
		func() any { return nil },
		r.key,
		func() any { return []byte(r.text()) },
		func() any { return r.table(depth) },
		func() any { return r.list(depth) },
		func() any { return r.texts(depth) },
		func() any { return [3]any{r.any(depth), r.any(depth), r.any(depth)} },
		func() any { return r.nodes() },
		func() any { return r.tree(depth) },
		func() any { return r.nest(depth) },
		func() any { return r.chain(depth) },
		func() any { return r.full(depth) },
		func() any { f := r.full(depth); return []*full{{}, &f} },
		func() any { return &[]any{r.any(depth)}[0] }, // a pointer to an interface
		func() any { return r.time() },
		func() any { return [2]time.Time{r.time(), {}} },
		func() any { return big.NewInt(r.Int64()) },
		func() any { return own{r.text()} },
		func() any { return text{r.text()} },
		func() any { return void{} },
		func() any { return []map[string]int{nil, {}, {r.text(): r.Int()}} },
		func() any { return [][]string{nil, {}, {"", r.text()}} },
		func() any { return embedded{inner: r.inner(), Inner: r.inner(), A: r.Int()} },
		func() any { return map[inner]inner{r.inner(): r.inner()} },
		func() any { return []int16{1, -1} },
	}
	return makers[r.IntN(len(makers))]()
}

func (r random) list(depth int) []any {
	l := make([]any, r.IntN(4))
	for i := range l {
		l[i] = r.any(depth)
	}
	return l
}

func (r random) texts(depth int) map[string]any {
	m := make(map[string]any)
	for range r.IntN(4) {
		m[r.text()] = r.any(depth)
	}
	return m
}

func (r random) nodes() (n *node) {
	for range 1 + r.IntN(300) {
		n = &node{r.IntN(3), n}
	}
	return n
}

func (r random) tree(depth int) *tree {
	t := &tree{Any: r.any(depth)}
	if depth > 0 && r.IntN(3) > 0 {
		t.Left = r.tree(depth - 1)
	}
	if depth > 0 && r.IntN(3) > 0 {
		t.Right = r.tree(depth - 1)
	}
	return t
}

func (r random) nest(depth int) (n nest) {
	for range r.IntN(3) {
		if depth > 0 {
			n = append(n, r.nest(depth-1))
		}
	}
	return n
}

func (r random) chain(depth int) chain {
	if depth == 0 {
		return nil
	}
	return chain{"": nil, "a": r.chain(depth - 1)}
}

func (r random) time() time.Time { return time.Unix(r.Int64N(1<<33), r.Int64N(1e9)).UTC() }

// full returns a full with about half of its fields set.
func (r random) full(depth int) (f full) {
	i := r.inner()
	p := &i
	for _, set := range []func(){
		func() { f.Map = r.texts(depth) },
		func() { f.Keys = r.table(depth) },
		func() { f.Any = r.any(depth) },
		func() { f.List = r.list(depth) },
		func() { f.Pair = pair{r.inner(), r.inner()} },
		func() { f.Inners = []*inner{{}, {1, 0}, p} },
		func() { f.Table = map[inner]map[string][]twin{r.inner(): {"": nil, "a": {{}, {2, 3}}}} },
		func() { f.Time = r.time() },
		func() { f.Times = []time.Time{{}, r.time()} },
		func() { f.Big = big.NewInt(r.Int64()) },
		func() { f.Own = own{r.text()} },
		func() { f.Text = text{r.text()} },
		func() { f.Tree = r.tree(depth) },
		func() { f.Deep = &p },
		func() { f.Bytes, f.Array = []byte{1, 2}, [3]byte{0, 1, 200} },
		func() { f.C, f.F, f.U, f.secret = 2i, 0.5, 7, 1 },
		func() {
			if depth > 0 {
				f.Self = []full{{}, r.full(depth - 1)}
			}
		},
	} {
		if r.IntN(2) == 0 {
			set()
		}
	}
	return f
}

// checkValues fails if Decode does not return the values that encoding/gob decodes. data must
// have been written by encoding/gob.
func checkValues(t *testing.T, c *Gob, data []byte) {
	t.Helper()
	var want map[any]any
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&want); err != nil {
		t.Fatalf("encoding/gob cannot decode what it has encoded: %v", err)
	}
	got, err := c.Decode(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("Decode = %#v, %v, encoding/gob decodes %#v", got, err, want)
	}
}

// Decode refuses nothing that encoding/gob can encode and decode.
func TestValuesOfAllKinds(t *testing.T) {
	t.Parallel()
	c := new(Gob)
	for seed := range uint64(300) {
		data, err := c.Encode(newRandom(seed).values())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		checkValues(t, c, data)
	}
	for what, v := range map[string]any{
		"a large array": large{N: 1},
		"large arrays":  []*large{{}, {N: 2}},
		"nil":           nil,
		"a flash":       []any{"saved", nil, 3, []byte("x"), map[string]any{"a": nil}},
		"itself":        map[any]any{1: map[any]any{2: map[any]any{}}},
		"numbers":       make([]int, 1<<17),
		"texts":         make([]string, 1<<17),
		"tables":        make([]map[string]int, 1<<14),
		"structs":       slices.Repeat([]*full{{}}, 1<<12),
	} {
		data, err := c.Encode(map[any]any{what: v})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		checkValues(t, c, data)
	}
}

// A pointer to nil at the very end of a stream is a struct without the zero that ends other
// structs.
func TestPointerToNil(t *testing.T) {
	t.Parallel()
	gob.RegisterName("pointer", new(*twinOfNil))
	data, err := encode(map[any]any{1: new(*twinOfNil)})
	if err != nil {
		t.Fatal(err)
	}
	checkValues(t, new(Gob), data)
}

type twinOfNil struct{ X int }

// A type of the application may have changed since the values were encoded. Decode reads
// them as encoding/gob does, or refuses them if encoding/gob would read them wrongly.
func TestChangedTypes(t *testing.T) {
	t.Parallel()
	changed := func(v any) []byte {
		data, err := encode(map[any]any{"a": v, "list": []any{v, inner{3, 4}, v}})
		if err != nil {
			t.Fatal(err)
		}
		return bytes.ReplaceAll(data, []byte("V1"), []byte("V2"))
	}
	c := new(Gob)
	for what, v := range map[string]wideV1{
		"empty":              {},
		"basic":              {Extra: 1, Keep: 2},
		"a struct":           {Extra: inner{1, 2}, A: inner{3, 4}, Keep: 5},
		"a list":             {Extra: []any{1, nil}, List: []any{1, "a", twin{}}, B: twin{6, 7}},
		"another order":      {C: []mirrored{{1, 2}}, A: inner{8, 9}, Keep: 10},
		"types that are met": {Extra: twin{}, List: []any{raw("x"), own{"y"}}, Keep: 11},
	} {
		t.Run(what, func(t *testing.T) { checkValues(t, c, changed(v)) })
	}
	// encoding/gob would read B as it has read A, with X and Y exchanged.
	if got, err := c.Decode(changed(swapV1{B: mirrored{1, 2}})); err == nil {
		t.Errorf("Decode of two different descriptions for one type = %v, want an error", got)
	}
	// encoding/gob would take what follows the nil for the id of its type.
	if got, err := c.Decode(changed(wideV1{List: []any{nil}, Keep: 12})); err == nil {
		t.Errorf("Decode of a nil in a field that is gone = %v, want an error", got)
	}
}
