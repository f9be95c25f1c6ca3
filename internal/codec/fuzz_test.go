package codec

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

// Whatever the bytes are, Decode does not panic, takes no more memory than their number
// justifies, and returns the values that encoding/gob decodes.
func FuzzGobDecode(f *testing.F) {
	c := new(Gob)
	first, err := c.Encode(map[any]any{"user": "alice"})
	if err != nil {
		f.Fatal(err)
	}
	for _, values := range []map[any]any{
		{"user": "alice"}, {1: []any{"a"}, "b": true}, {},
		{"i": -1, "i64": int64(1) << 62, "f": 0.1, "b": false, "s": strings.Repeat("x", 300), 0: "", 2.5: int64(-128)},
		{"u": uint8(3), "bytes": []byte("x")},
		{"wide": wideV2{A: inner{1, 2}, Keep: 3, secret: 4}},
	} {
		data, err := c.Encode(values)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for seed := range uint64(100) {
		data, err := c.Encode(newRandom(seed).values())
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 4096 {
			f.Add(data)
		}
	}
	for _, v := range []any{
		wideV1{Extra: 1, List: []any{1, "a"}, A: inner{1, 2}, Keep: 3}, wideV1{Extra: []any{1}, C: []mirrored{{}}},
		swapV1{A: inner{1, 2}, B: mirrored{3, 4}},
	} {
		data, err := encode(map[any]any{"a": v, 1: []any{v}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.ReplaceAll(data, []byte("V1"), []byte("V2")))
	}
	for _, data := range hostile() {
		if len(data) < 4096 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// The description is kept after this, so the quick way is tried too.
		if _, err := c.Decode(first); err != nil {
			t.Fatal(err)
		}
		checkDecode(t, c, data)
	})
}

// checkDecode fails if Decode takes more memory for data than its length justifies, or
// returns other values than encoding/gob. It reports whether data can be decoded.
func checkDecode(t *testing.T, c *Gob, data []byte) bool {
	t.Helper()
	var got map[any]any
	var err error
	limit := uint64(1<<20 + 1024*len(data))
	if bytes.Contains(data, []byte("large")) {
		limit += minMemory
	}
	if taken := allocated(func() { got, err = c.Decode(data) }); taken > limit {
		t.Errorf("Decode takes %d bytes of memory for %d", taken, len(data))
	}
	if err != nil {
		return false
	}
	read := func() (values map[any]any) {
		in := bytes.NewReader(data)
		if err := gob.NewDecoder(in).Decode(&values); err != nil || in.Len() > 0 {
			t.Fatalf("encoding/gob: %v, %d bytes left", err, in.Len())
		}
		return values
	}
	// Some values, like NaN, and some keys, like pointers, are not equal to themselves. Then
	// two results of encoding/gob are not equal either.
	if want := read(); !reflect.DeepEqual(got, want) && reflect.DeepEqual(read(), want) {
		t.Errorf("Decode = %#v, encoding/gob decodes %#v", got, want)
	}
	return true
}

// Decode reads all values that encoding/gob encodes and decodes, as encoding/gob does.
func FuzzGobValues(f *testing.F) {
	c := new(Gob)
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		data, err := c.Encode(newRandom(seed).values())
		if err != nil {
			t.Fatal(err)
		}
		checkValues(t, c, data)
	})
}

// Encode writes what encoding/gob writes, byte for byte where the order of a map's entries
// does not matter.
func FuzzGobEncode(f *testing.F) {
	c := new(Gob)
	f.Add("user", int64(-1), uint64(127), 0.1, []byte("x"), true)
	f.Add("", int64(64), uint64(128), math.Inf(-1), []byte{}, false)
	f.Add(strings.Repeat("x", 200), int64(math.MinInt64), uint64(math.MaxUint64), math.NaN(), bytes.Repeat([]byte("y"), 300), true)
	f.Fuzz(func(t *testing.T, s string, i int64, u uint64, x float64, b []byte, yes bool) {
		for _, v := range []any{
			s, b, yes, i, int(i), int8(i), int16(i), int32(i), u, uint(u), uint8(u), uint16(u), uint32(u), x, float32(x),
		} {
			checkEncode(t, c, map[any]any{"key": v})
		}
		for _, values := range []map[any]any{nil, {}, {i: s}, {s: []byte(nil)}, {s: []any{s, i}}} {
			checkEncode(t, c, values)
		}
		all := map[any]any{s: i, i: s, u: yes, yes: b, "x": float32(1)}
		data, err := c.Encode(all)
		if err != nil {
			t.Fatal(err)
		}
		var got map[any]any
		if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", all) && len(b) > 0 {
			t.Errorf("encoding/gob decodes what Encode has written for %#v as %#v", all, got)
		}
	})
}

// checkEncode fails if Encode does not write the same bytes as encoding/gob.
func checkEncode(t *testing.T, c *Gob, values map[any]any) {
	t.Helper()
	got, err := c.Encode(values)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := gob.NewEncoder(&want).Encode(values); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("Encode(%#v) =\n%x, encoding/gob writes\n%x", values, got, want.Bytes())
	}
}
