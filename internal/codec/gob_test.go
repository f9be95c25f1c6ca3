package codec

import (
	"fmt"
	"testing"
)

// What is quick stays quick: values of the commonest types are decoded without a check,
// and without encoding/gob.
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
			t.Error("not decoded")
		}
	})
	if got := testing.AllocsPerRun(100, func() { _, _ = c.Decode(data) }); got != direct {
		t.Errorf("Decode allocates %v times, of which the decoding %v", got, direct)
	}
}

// Others' records cannot take the room of this process's description, nor can what is
// not decoded take any.
func TestDescriptions(t *testing.T) {
	t.Parallel()
	c := new(Gob)
	for i := range int64(3 * maxDescriptions) {
		of := firstTypeID + i
		data := join(mapOf(of, interfaceID, interfaceID), message(id(of), zero, number(1), key, key))
		bad := join(mapOf(of, interfaceID, interfaceID), message(id(of), zero, number(1), key, holds("unknown", stringID, zero)))
		for range 2 {
			if _, err := c.Decode(bad); err == nil {
				t.Error("an unknown name is good")
			}
		}
		if i == 0 && len(c.descriptions) > 0 {
			t.Error("a description that nothing was decoded with is kept")
		}
		for range 2 {
			if got, err := c.Decode(data); err != nil || got[1] != 1 {
				t.Errorf("%v, %v", got, err)
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
		t.Error("there is no room for this process's description")
	}
	if n := len(c.descriptions); n > maxDescriptions+1 {
		t.Errorf("%d descriptions are kept", n)
	}
}

// Decoders that are kept do not keep the types of one stream for the next.
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
				t.Errorf("%v became %v, %v", values, got, err)
			}
		}
	}
}
