// Package gobs writes and reads a session's values in the format of encoding/gob.
package gobs

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"sync"
	"sync/atomic"
)

// Codec writes and reads the format of encoding/gob; every encoding is complete in
// itself. The zero value is ready, and safe for concurrent use.
//
// A gob stream describes its types before its values, and a new encoder or
// decoder takes several times longer over the description than over a session's
// values. The description of the map itself is the same in all encodings of a
// process. So values of basic types, which need no further one, are written by
// appendBasic behind that description. Decoders that have read a description are
// kept, and the commonest values are read by decodeBasic. Where values bring
// descriptions of their own, a new encoder writes, and a new decoder reads, the
// whole.
type Codec struct {
	mu           sync.Mutex
	descriptions map[string]*description // by their bytes
}

// maxDescriptions bounds the descriptions for which decoders are kept. Each
// build of an application may write its own.
const maxDescriptions = 16

// ownDescription returns this process's description of the map, and the id that
// it gives it.
var ownDescription = sync.OnceValues(func() (message []byte, id int64) {
	data, err := encode(map[any]any{})
	if err != nil {
		panic(err) // an empty map has nothing that cannot be encoded
	}
	message = data[:messageLength(data)]
	return message, describedID(message)
})

// Encode encodes values.
func (c *Codec) Encode(values map[any]any) ([]byte, error) {
	first, id := ownDescription()
	if data, ok := appendBasic(bytes.Clone(first), id, values); ok {
		return data, nil
	}
	return encode(values)
}

func encode(values map[any]any) ([]byte, error) {
	var out bytes.Buffer
	err := gob.NewEncoder(&out).Encode(values)
	return out.Bytes(), err
}

// Decode decodes what Encode wrote, in this process or another.
func (c *Codec) Decode(data []byte) (map[any]any, error) {
	n := messageLength(data)
	if n <= 0 || n >= len(data) {
		return decode(data)
	}
	known := c.description(data[:n])
	if known == nil {
		return decode(data)
	}
	if known.accepted.Load() {
		if values, ok := decodeBasic(data[n:], known.id); ok {
			return values, nil
		}
	}
	d, _ := known.decoders.Get().(*primedDecoder)
	if d == nil {
		d = &primedDecoder{}
		d.dec = gob.NewDecoder(&d.in)
		d.in.Write(data[:n])
	}
	d.in.Write(data[n:])
	var values map[any]any
	if err := d.dec.Decode(&values); err != nil || d.in.Len() > 0 {
		return decode(data)
	}
	known.accepted.Store(true)
	known.decoders.Put(d)
	return values, nil
}

type primedDecoder struct {
	in  bytes.Buffer
	dec *gob.Decoder
}

// description is a description of the map, with what has read it.
type description struct {
	id       int64       // of the type that it describes
	accepted atomic.Bool // by encoding/gob, as that of a map[any]any
	decoders sync.Pool
}

// description returns what is known of a description, nil if there are too many.
func (c *Codec) description(message []byte) *description {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.descriptions[string(message)]
	if d == nil && len(c.descriptions) < maxDescriptions {
		if c.descriptions == nil {
			c.descriptions = make(map[string]*description)
		}
		d = &description{id: describedID(message)}
		c.descriptions[string(message)] = d
	}
	return d
}

// describedID returns the id that a description gives its type: the message
// begins with it, negated.
func describedID(message []byte) int64 {
	r := reader{b: message[1:]}
	return -r.int()
}

func decode(data []byte) (map[any]any, error) {
	r := bytes.NewReader(data)
	var values map[any]any
	if err := gob.NewDecoder(r).Decode(&values); err != nil {
		return nil, err
	}
	if r.Len() > 0 {
		return nil, fmt.Errorf("%d bytes behind the values", r.Len())
	}
	return values, nil
}

// messageLength returns the length of data's first message with its count, or 0.
// A message is its length and as many bytes; a length below 128 is one byte (see
// the documentation of encoding/gob), and the description of the map is short.
func messageLength(data []byte) int {
	if len(data) == 0 || data[0] >= 128 {
		return 0
	}
	return 1 + int(data[0])
}
