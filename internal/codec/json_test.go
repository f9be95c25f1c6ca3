package codec

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

// comeback returns the value that JSON decodes after it has encoded v.
func comeback(t *testing.T, v any) any {
	t.Helper()
	data, err := JSON{}.Encode(map[any]any{"v": v})
	if err != nil {
		t.Fatalf("%#v: %v", v, err)
	}
	got, err := JSON{}.Decode(data)
	if err != nil || len(got) != 1 {
		t.Fatalf("%s: %v, %v", data, got, err)
	}
	return got["v"]
}

type (
	celsius  float64
	shouting float64 // has a MarshalJSON of its own
	quiet    float64 // the same, with a pointer
	number1  struct{ F float64 }
	gram     map[string]any
)

func (s shouting) MarshalJSON() ([]byte, error) {
	return []byte(`"` + strings.Repeat("a", int(s)) + `"`), nil
}
func (q *quiet) MarshalJSON() ([]byte, error) { return []byte(`"quiet"`), nil }

func TestJSONValues(t *testing.T) {
	t.Parallel()
	two := 2.0
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	for name, x := range map[string]struct{ in, want any }{
		"nil":                  {nil, nil},
		"int":                  {42, int64(42)},
		"beyond 2^53":          {int64(1)<<53 + 1, int64(1)<<53 + 1},
		"least":                {int64(math.MinInt64), int64(math.MinInt64)},
		"most int64":           {uint64(math.MaxInt64), int64(math.MaxInt64)},
		"most":                 {uint64(math.MaxUint64), uint64(math.MaxUint64)},
		"big.Int":              {huge, json.Number(huge.String())},
		"json.Number":          {json.Number("7"), int64(7)},
		"beyond float64":       {[]any{json.Number("1e999")}, []any{json.Number("1e999")}},
		"float":                {2.0, 2.0},
		"minus zero":           {math.Copysign(0, -1), math.Copysign(0, -1)},
		"a fraction":           {0.1, 0.1},
		"a large float":        {1e300, 1e300},
		"2^53 as float":        {float64(1 << 53), float64(1 << 53)},
		"float32":              {float32(3), 3.0},
		"a float with a name":  {celsius(20), 20.0},
		"a pointer":            {&two, 2.0},
		"a pointer to nil":     {(*float64)(nil), nil},
		"floats":               {[]float64{1, 2.5}, []any{1.0, 2.5}},
		"an array":             {[2]float32{1, 2}, []any{1.0, 2.0}},
		"a list":               {[]any{1, 1.0, "1", nil, uint8(1)}, []any{int64(1), 1.0, "1", nil, int64(1)}},
		"a map":                {map[string]any{"i": 1, "f": 1.0, "n": nil}, map[string]any{"i": int64(1), "f": 1.0, "n": nil}},
		"a map with a name":    {gram{"f": gram{"g": []any{2.0}}}, map[string]any{"f": map[string]any{"g": []any{2.0}}}},
		"numbers as keys":      {map[int]float64{1: 2}, map[string]any{"1": 2.0}},
		"floats in lists":      {[][]float64{{1}, nil}, []any{[]any{1.0}, nil}},
		"nil slice":            {[]float64(nil), nil},
		"nil map":              {map[string]float64(nil), nil},
		"empty":                {map[string]any{"l": []any{}, "m": map[string]any{}}, map[string]any{"l": []any{}, "m": map[string]any{}}},
		"bytes":                {[]byte{1, 2}, "AQI="},
		"lists of bytes":       {[][]byte{{1, 2}, nil}, []any{"AQI=", nil}},
		"a struct":             {number1{2}, map[string]any{"F": int64(2)}},
		"its own method":       {shouting(2), "aa"},
		"its own, in a list":   {[]shouting{1, 2}, []any{"a", "aa"}},
		"a pointer's, in list": {[]quiet{1, 2}, []any{"quiet", "quiet"}},
		"time":                 {time.Unix(0, 0).UTC(), "1970-01-01T00:00:00Z"},
	} {
		got := comeback(t, x.in)
		if !reflect.DeepEqual(got, x.want) {
			t.Errorf("%s: %#v comes back as %#v, want %#v", name, x.in, got, x.want)
		}
		if f, ok := got.(float64); ok && math.Signbit(f) != math.Signbit(x.want.(float64)) {
			t.Errorf("%s: the sign is lost", name)
		}
	}
}

// Whatever the numbers are, and wherever they are, integers come back with the same digits
// and floats with the same bits.
func TestJSONNumbersAreExact(t *testing.T) {
	t.Parallel()
	integer := func(v any) any {
		if u, ok := v.(uint64); ok && u > math.MaxInt64 {
			return u
		}
		r := reflect.ValueOf(v)
		if r.CanUint() {
			return int64(r.Uint())
		}
		return r.Int()
	}
	same := func(i int64, small int8, u uint64, word uint32, f float64, single float32, shift uint8) bool {
		i >>= shift % 64
		whole := math.Trunc(f / math.Pow(2, float64(shift)))
		flat := map[string]any{"i": i, "small": small, "u": u, "word": word, "f": f, "whole": whole, "single": single}
		want := map[string]any{"i": i, "small": integer(small), "u": integer(u), "word": integer(word), "f": f, "whole": whole}
		want["single"] = comeback(t, flat).(map[string]any)["single"]
		if float32(want["single"].(float64)) != single {
			return false
		}
		for _, nested := range []any{flat, []any{flat, []any{flat}}, gram{"a": flat, "b": []map[string]any{flat}}} {
			wanted := map[string]any{}
			switch nested.(type) {
			case gram:
				wanted["v"] = map[string]any{"a": want, "b": []any{want}}
			case []any:
				wanted["v"] = []any{want, []any{want}}
			default:
				wanted["v"] = want
			}
			if !reflect.DeepEqual(comeback(t, nested), wanted["v"]) {
				return false
			}
		}
		for k, v := range flat {
			if !reflect.DeepEqual(comeback(t, v), want[k]) {
				return false
			}
		}
		return true
	}
	if err := quick.Check(same, &quick.Config{MaxCount: 500}); err != nil {
		t.Error(err)
	}
}

// What cannot be encoded, or could not be decoded again, is refused.
func TestJSONRefuses(t *testing.T) {
	t.Parallel()
	itself := map[string]any{}
	itself["itself"] = itself
	var deep any
	chain := new(node)
	for range maxDepth + 1 {
		deep = []any{deep}
		chain = &node{Next: chain}
	}
	for name, v := range map[string]any{
		"NaN": math.NaN(), "infinity": []any{math.Inf(1)}, "channel": make(chan int), "function": map[string]any{"f": func() {}},
		"a map in itself": itself, "deep": deep, "deep structs": chain,
	} {
		if data, err := (JSON{}).Encode(map[any]any{"v": v}); err == nil {
			t.Errorf("%s: encoded in %d bytes", name, len(data))
		}
	}
	var unsupported *json.UnsupportedValueError
	if _, err := (JSON{}).Encode(map[any]any{"v": math.NaN()}); !errors.As(err, &unsupported) {
		t.Errorf("NaN: %v", err)
	}
	for _, data := range []string{"", "{", `{"a":1} x`, `{"a":1}{}`, `[1]`, `{"a":01}`, "1"} {
		if got, err := (JSON{}).Decode([]byte(data)); err == nil {
			t.Errorf("%q is decoded as %v", data, got)
		}
	}
	if got, err := (JSON{}).Decode([]byte("{\"a\":1}\n ")); err != nil || got["a"] != int64(1) {
		t.Errorf("spaces at the end: %v, %v", got, err)
	}
}
