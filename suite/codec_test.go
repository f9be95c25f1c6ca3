package suite_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

type point struct{ X, Y int }

// Gob and JSON decode what they have encoded, and refuse damaged data.
func TestCodecs(t *testing.T) {
	t.Parallel()
	gob.Register(point{})
	values := map[any]any{"text": "t", "int": 7, "list": []any{"a"}, "point": point{1, 2}, 3: "three"}
	for range 5 { // the codec uses its decoders again
		data, err := lifecycle.Gob.Encode(values)
		if err != nil {
			t.Fatal(err)
		}
		got, err := lifecycle.Gob.Decode(data)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(values) {
			t.Fatalf("gob: %v, %v", got, err)
		}
		plain, err := lifecycle.Gob.Encode(map[any]any{"a": "b"})
		if err != nil {
			t.Fatal(err)
		}
		// Package encoding/gob decodes it too.
		var std map[any]any
		if err := gob.NewDecoder(bytes.NewReader(plain)).Decode(&std); err != nil || len(std) != 1 || std["a"] != "b" {
			t.Fatalf("encoding/gob reads %v, %v", std, err)
		}
		if got, err := lifecycle.Gob.Decode(plain); err != nil || len(got) != 1 || got["a"] != "b" {
			t.Fatalf("gob: %v, %v", got, err)
		}
		for cut := range data {
			if _, err := lifecycle.Gob.Decode(data[:cut]); err == nil {
				t.Fatalf("gob: the first %d of %d bytes were decoded", cut, len(data))
			}
		}
		if _, err := lifecycle.Gob.Decode(append(data, 0)); err == nil {
			t.Fatal("gob: data with a byte too many was decoded")
		}
	}
	data, err := lifecycle.JSON.Encode(map[any]any{"a": 1, "b": "c"})
	if err != nil || string(data) != `{"a":1,"b":"c"}` {
		t.Errorf("JSON: %s, %v", data, err)
	}
	if got, err := lifecycle.JSON.Decode(data); err != nil || got["a"] != int64(1) || got["b"] != "c" {
		t.Errorf("JSON: %v, %v", got, err)
	}
	if _, err := lifecycle.JSON.Encode(map[any]any{3: 1}); err == nil {
		t.Error("JSON: a number was encoded as a key")
	}
	if _, err := lifecycle.JSON.Decode([]byte("{")); err == nil {
		t.Error("JSON: half an object was decoded")
	}
}

// What Save has taken can be read again: a number that no float64 can hold does not hold its
// visitor prisoner.
func TestJSONNumberBeyondFloat64(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithCodec(lifecycle.JSON))
	a.get("/n", func(c *lifecycle.Context) {
		c.Values().Set("n", json.Number("1e999"))
		a.answer(c, c.Values().Save())
	})
	id, v := a.begin()
	a.ok(v, "/n")
	if got := a.ok(v, "/"); got != id {
		t.Errorf("the session is %s, want %s", got, id)
	}
	if got := a.ok(v, "/get?key=n"); got != "1e999" {
		t.Errorf("the number is %s", got)
	}
}
