package codec

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"sync"
)

// Gob encodes values in the format of encoding/gob. Every encoding is a complete stream. The
// zero value is ready to use. It is safe for concurrent use. The package comment says how it
// saves the time that descriptions of types take. It registers the types of common by itself.
type Gob struct {
	// Types are values of further types to register. Do not change it after the first use.
	Types      []any
	registered sync.Once

	mu           sync.Mutex
	descriptions map[string]*description // those that are kept, by their bytes
}

// maxDescriptions is how many descriptions are kept. Each build of an application may write
// another one.
const maxDescriptions = 16

// description is a message that encoding/gob has accepted as the description of a
// map[any]any.
type description struct {
	id       int64     // the id that it gives to the map's type
	decoders sync.Pool // of *primedDecoder
}

// primedDecoder is a decoder that has read the description of the map.
type primedDecoder struct {
	in  bytes.Buffer
	dec *gob.Decoder
}

// ownDescription returns the description that this process writes for the map, and the id in
// it.
var ownDescription = sync.OnceValues(func() (message []byte, id int64) {
	data, err := encode(map[any]any{})
	if err != nil {
		panic(err) // an empty map can always be encoded
	}
	message = data[:messageLength(data)]
	return message, describedID(message)
})

// Encode encodes values. It returns an error for values that encoding/gob cannot encode, and
// for those that Decode would refuse.
func (c *Gob) Encode(values map[any]any) ([]byte, error) {
	first, id := ownDescription()
	if data, ok := appendBasic(bytes.Clone(first), id, values); ok {
		return data, nil
	}
	c.register()
	data, err := encode(values)
	if err != nil {
		return nil, err
	}
	if len(data) > unchecked {
		if _, err := check(data); err != nil {
			return nil, fmt.Errorf("the values could be saved but not read again: %w", err)
		}
	}
	return data, nil
}

// unchecked is up to how many bytes Encode does not check what it has encoded. So few bytes
// cannot exceed a limit: each level of nesting takes one byte at least, each type several,
// and elements would have to be of 4 KiB each, all zero, to take too much memory.
const unchecked = 4096

// encode encodes values with a new encoder.
func encode(values map[any]any) ([]byte, error) {
	var out bytes.Buffer
	err := gob.NewEncoder(&out).Encode(values)
	return out.Bytes(), err
}

// Decode decodes what Encode has written, in this process or another one. For other bytes it
// returns an error, or the values that encoding/gob reads from them. It does not panic, and
// takes no more memory, time and stack than the number of bytes justifies.
func (c *Gob) Decode(data []byte) (map[any]any, error) {
	n := messageLength(data)
	var known *description
	if 0 < n && n < len(data) {
		known = c.description(data[:n])
	}
	if known != nil {
		if values, ok := decodeBasic(data[n:], known.id); ok {
			return values, nil
		}
	}
	return c.decodeChecked(data, n, known)
}

// decodeChecked checks data and then lets encoding/gob decode it. The first message of data
// has n bytes, 0 if that is not known; known is its description, nil if it is not kept.
func (c *Gob) decodeChecked(data []byte, n int, known *description) (_ map[any]any, err error) {
	// encoding/gob may panic, and so may methods of the application's types, and a map when
	// its key is not comparable.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("gob: panic: %v", r)
		}
	}()
	c.register()
	types, err := check(data)
	if err != nil {
		return nil, err
	}
	// A decoder accepts the description of a type only once. So a kept decoder may only read
	// streams that describe nothing but the map.
	plain := types == 1 && n > 0
	if !plain || known == nil {
		values, err := decode(gob.NewDecoder(bytes.NewReader(data)))
		if err == nil && plain {
			c.accept(data[:n])
		}
		return values, err
	}
	d, _ := known.decoders.Get().(*primedDecoder)
	if d == nil {
		d = &primedDecoder{}
		d.dec = gob.NewDecoder(&d.in)
		d.in.Write(data[:n])
	}
	d.in.Write(data[n:])
	values, err := decode(d.dec)
	if err == nil {
		known.decoders.Put(d)
	}
	return values, err
}

// decode decodes the next values of a decoder.
func decode(d *gob.Decoder) (map[any]any, error) {
	var values map[any]any
	if err := d.Decode(&values); err != nil {
		return nil, err
	}
	return values, nil
}

// description returns the kept description with these bytes, nil if there is none.
func (c *Gob) description(message []byte) *description {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.descriptions[string(message)]
}

// accept keeps a description, unless there are too many. That of this process is always
// kept, whatever records of other builds have been read before.
func (c *Gob) accept(message []byte) {
	own, _ := ownDescription()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.descriptions) >= maxDescriptions && !bytes.Equal(message, own) {
		return
	}
	if c.descriptions == nil {
		c.descriptions = make(map[string]*description)
	}
	if c.descriptions[string(message)] == nil {
		c.descriptions[string(message)] = &description{id: describedID(message)}
	}
}

// describedID returns the id in a description. The message begins with it, negated.
func describedID(message []byte) int64 {
	r := reader{b: message[1:]}
	return -r.int()
}

// messageLength returns how many bytes the first message of data takes, its length included.
// It returns 0 if the message has 128 bytes or more: then the length takes several bytes,
// and the message is not the description of the map, which is short.
func messageLength(data []byte) int {
	if len(data) == 0 || data[0] >= 128 {
		return 0
	}
	return 1 + int(data[0])
}
