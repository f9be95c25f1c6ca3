// Package codec writes and reads a session's values in the format of encoding/gob.
//
// Whoever can write a record in Redis chooses the bytes that are read here. They may
// yield an error, but must not take memory, time or stack that has nothing to do with
// their number, and must not stop the process. encoding/gob promises nothing of the
// kind, so it is given only what has passed check. Methods by which the application's
// types decode themselves get bytes as they are, and must look after themselves, but
// their panics are errors too.
package codec

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"sync"
)

// Gob writes and reads the format of encoding/gob; every encoding is complete in
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
type Gob struct {
	mu           sync.Mutex
	descriptions map[string]*description // by their bytes
}

// maxDescriptions bounds the descriptions for which decoders are kept. Each
// build of an application may write its own.
const maxDescriptions = 16

// description is a description of the map that encoding/gob has accepted as that of
// a map[any]any, with what has read it.
type description struct {
	id       int64 // of the type that it describes
	decoders sync.Pool
}

type primedDecoder struct {
	in  bytes.Buffer
	dec *gob.Decoder
}

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

// Encode encodes values. It returns an error for values that encoding/gob cannot
// write, and for large ones that Decode would refuse: a session that is saved and
// never read again is worse than one that is not saved.
func (c *Gob) Encode(values map[any]any) ([]byte, error) {
	first, id := ownDescription()
	if data, ok := appendBasic(bytes.Clone(first), id, values); ok {
		return data, nil
	}
	data, err := encode(values)
	if err != nil {
		return nil, err
	}
	if len(data) > unchecked {
		if _, err := check(data); err != nil {
			return nil, fmt.Errorf("the values could not be read again: %w", err)
		}
	}
	return data, nil
}

// unchecked is how many bytes Encode does not check. So few reach no limit: a level of
// depth takes one at least, a type several, and an element in memory would have to be
// of 4 KiB that are all zero.
const unchecked = 4096

func encode(values map[any]any) ([]byte, error) {
	var out bytes.Buffer
	err := gob.NewEncoder(&out).Encode(values)
	return out.Bytes(), err
}

// Decode decodes what Encode wrote, in this process or another. For all other bytes
// it returns an error, or what encoding/gob reads in them; it does not panic.
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

// decodeChecked lets encoding/gob decode data, whose first message has n bytes, if it
// passes the check.
func (c *Gob) decodeChecked(data []byte, n int, known *description) (_ map[any]any, err error) {
	// Panics of encoding/gob, of the methods of the application's types, and of a key
	// that cannot be one.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("gob: panic: %v", r)
		}
	}()
	types, err := check(data)
	if err != nil {
		return nil, err
	}
	// A decoder takes the description of a type once: those that are kept read only
	// what brings no other than the map's.
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

func decode(d *gob.Decoder) (map[any]any, error) {
	var values map[any]any
	if err := d.Decode(&values); err != nil {
		return nil, err
	}
	return values, nil
}

// description returns the description that these bytes are, nil if it has not been
// accepted.
func (c *Gob) description(message []byte) *description {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.descriptions[string(message)]
}

// accept keeps a description, unless there are too many. There is always room for
// that of this process: others' records cannot take it.
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

// describedID returns the id that a description gives its type: the message
// begins with it, negated.
func describedID(message []byte) int64 {
	r := reader{b: message[1:]}
	return -r.int()
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
