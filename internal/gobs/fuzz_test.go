package gobs

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

func init() { gob.Register([]any{}) }

// Decode takes any bytes without a panic, and takes what encoding/gob takes, with
// the same result.
func FuzzGobDecode(f *testing.F) {
	c := new(Codec)
	var first []byte
	for _, values := range []map[any]any{
		{"user": "alice"}, {1: []any{"a"}, "b": true}, {},
		{"i": -1, "i64": int64(1) << 62, "f": 0.1, "b": false, "s": strings.Repeat("x", 300), 0: "", 2.5: int64(-128)},
		{"u": uint8(3), "bytes": []byte("x")},
	} {
		data, err := c.Encode(values)
		if err != nil {
			f.Fatal(err)
		}
		if first == nil {
			first = data
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// The description has been accepted: what is quick is tried.
		if _, err := c.Decode(first); err != nil {
			t.Fatal(err)
		}
		values, err := c.Decode(data)
		in := bytes.NewReader(data)
		var want map[any]any
		wantErr := gob.NewDecoder(in).Decode(&want)
		if in.Len() > 0 {
			wantErr = errors.New("bytes are left")
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("Decode: %v, encoding/gob: %v", err, wantErr)
		}
		// Printed, since NaN does not equal itself.
		if err == nil && fmt.Sprintf("%#v", values) != fmt.Sprintf("%#v", want) {
			t.Errorf("Decode: %#v, encoding/gob: %#v", values, want)
		}
	})
}

// Encode writes what encoding/gob writes, byte for byte where there is an order.
func FuzzGobEncode(f *testing.F) {
	c := new(Codec)
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
			t.Errorf("Encode: %#v, encoding/gob reads %#v", all, got)
		}
	})
}

func checkEncode(t *testing.T, c *Codec, values map[any]any) {
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
		t.Errorf("Encode(%#v):\n%x, encoding/gob:\n%x", values, got, want.Bytes())
	}
}
