package codec

import (
	"fmt"
	"testing"
)

// Values of the most common types are decoded without the check and without encoding/gob:
// Decode allocates no more than decodeBasic.
func TestQuickWay(t *testing.T) {
	c := new(Gob)
	data, err := c.Encode(map[any]any{"user": "alice", "count": 3, "admin": true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decode(data); err != nil {
		t.Fatal(err)
	}
	first, of := ownDescription()
	direct := testing.AllocsPerRun(100, func() {
		if _, ok := decodeBasic(data[len(first):], of); !ok {
			t.Error("decodeBasic refuses the values")
		}
	})
	if got := testing.AllocsPerRun(100, func() { _, _ = c.Decode(data) }); got != direct {
		t.Errorf("Decode allocates %v times, decodeBasic %v times", got, direct)
	}
}

// Gob keeps a limited number of descriptions, always that of this process, and none of a
// stream that it has refused.
func TestDescriptions(t *testing.T) {
	t.Parallel()
	c := new(Gob)
	for i := range int64(3 * maxDescriptions) {
		of := firstTypeID + i
		data := join(mapOf(of, interfaceID, interfaceID), message(id(of), zero, number(1), key, key))
		bad := join(mapOf(of, interfaceID, interfaceID), message(id(of), zero, number(1), key, holds("unknown", stringID, zero)))
		for range 2 {
			if _, err := c.Decode(bad); err == nil {
				t.Error("Decode accepts a name that was not registered")
			}
		}
		if i == 0 && len(c.descriptions) > 0 {
			t.Error("the description of a refused stream is kept")
		}
		for range 2 {
			if got, err := c.Decode(data); err != nil || got[1] != 1 {
				t.Errorf("Decode = %v, %v, want the value 1", got, err)
			}
		}
	}
	data, err := c.Encode(map[any]any{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decode(data); err != nil {
		t.Fatal(err)
	}
	first, _ := ownDescription()
	if c.description(first) == nil {
		t.Error("the description of this process is not kept")
	}
	if n := len(c.descriptions); n > maxDescriptions+1 {
		t.Errorf("%d descriptions are kept, want %d at most", n, maxDescriptions+1)
	}
}

// A kept decoder forgets the types of one stream before the next one.
func TestKeptDecoders(t *testing.T) {
	t.Parallel()
	c := new(Gob)
	for range 5 {
		for _, values := range []map[any]any{
			{"a": uint(1)}, {"list": []any{1}}, {"point": inner{1, 2}}, {"a": uint8(2), "b": []byte("x")},
			{"list": []any{inner{3, 4}}},
		} {
			data, err := c.Encode(values)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Decode(data); err != nil || fmt.Sprint(got) != fmt.Sprint(values) {
				t.Errorf("%v is decoded as %v, %v", values, got, err)
			}
		}
	}
}
