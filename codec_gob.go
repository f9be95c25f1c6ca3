package lifecycle

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"sync"
)

// Gob is the default Codec, as in gin-contrib/sessions' own stores. Types other
// than Go's basic ones must be known to gob.Register in every process.
var Gob Codec = &gobCodec{}

// gobCodec is encoding/gob; every encoding is complete in itself.
//
// A gob stream describes its types before its values, and reading such a
// description costs a new decoder several times what the values of a session
// cost. The map's own description is the same in all encodings of a process, so
// decoders that have read it are kept and are given the rest only. Where that
// does not work, because the values bring descriptions that a kept decoder has
// met before, a new decoder reads the whole encoding.
type gobCodec struct {
	mu       sync.Mutex
	decoders map[string]*sync.Pool // by the description they have read
}

// maxDescriptions bounds the descriptions for which decoders are kept. Each
// build of an application may write its own.
const maxDescriptions = 16

func (*gobCodec) Encode(values map[any]any) ([]byte, error) {
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(values); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func (c *gobCodec) Decode(data []byte) (map[any]any, error) {
	n := messageLength(data)
	if n <= 0 || n >= len(data) {
		return decodeGob(data)
	}
	pool := c.pool(data[:n])
	if pool == nil {
		return decodeGob(data)
	}
	d, _ := pool.Get().(*primedDecoder)
	if d == nil {
		d = &primedDecoder{}
		d.dec = gob.NewDecoder(&d.in)
		d.in.Write(data[:n])
	}
	d.in.Write(data[n:])
	var values map[any]any
	if err := d.dec.Decode(&values); err != nil || d.in.Len() > 0 {
		return decodeGob(data)
	}
	pool.Put(d)
	return values, nil
}

type primedDecoder struct {
	in  bytes.Buffer
	dec *gob.Decoder
}

func (c *gobCodec) pool(description []byte) *sync.Pool {
	c.mu.Lock()
	defer c.mu.Unlock()
	pool := c.decoders[string(description)]
	if pool == nil && len(c.decoders) < maxDescriptions {
		if c.decoders == nil {
			c.decoders = make(map[string]*sync.Pool)
		}
		pool = new(sync.Pool)
		c.decoders[string(description)] = pool
	}
	return pool
}

func decodeGob(data []byte) (map[any]any, error) {
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
