package lifecycle

import "github.com/gin-lifecycle/lifecycle/internal/codec"

// Codec turns a session's values into bytes and back. It must be safe for
// concurrent use, and Decode must read what Encode wrote, in other processes
// too. Values are never empty when Encode is called. Decode must return an error for
// bytes that Encode cannot have written; if it panics, that counts as one.
type Codec interface {
	Encode(values map[any]any) ([]byte, error)
	Decode(data []byte) (map[any]any, error)
}

// Gob is the default Codec, as in gin-contrib/sessions' own stores. Types other
// than Go's basic ones must be known to gob.Register in every process.
//
// Decode takes any bytes: what it cannot read is an error, and so is what would take
// far more memory, time or stack than the bytes are worth. Values may lie 10,000 deep
// within each other, be of 4,096 types, and take 16 MiB and 256 times their encoded
// size in memory; Encode returns an error for more. What GobDecode methods of the
// application's types do with their bytes is not bounded, but their panics are errors.
var Gob Codec = new(codec.Gob)

// JSON is a Codec for values that other programs should be able to read. Keys
// must be strings. Values come back as encoding/json decodes them into an
// interface: numbers as float64, structs as map[string]any.
var JSON Codec = codec.JSON{}
