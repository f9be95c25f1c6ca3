package lifecycle

import "github.com/gin-lifecycle/lifecycle/internal/codec"

// Codec turns a session's values into bytes and back. It must be safe for concurrent use.
// Decode must read what Encode wrote, also in other processes. Encode is not called without
// values. Decode must return an error for bytes that Encode cannot have written; a panic of
// Decode counts as an error.
type Codec interface {
	Encode(values map[any]any) ([]byte, error)
	Decode(data []byte) (map[any]any, error)
}

// Gob is the default Codec, as in the stores of gin-contrib/sessions. Types other than Go's
// basic types must be registered with gob.Register in every process.
//
// Decode is safe for any bytes, whoever wrote them: it returns an error for what it cannot
// read, and for what would take far more memory, time or stack than its size justifies.
// Values may be nested 10,000 deep, have 4,096 types, and take 16 MiB plus 256 times their
// encoded size in memory; Encode returns an error for more. If a type of the application has
// a GobDecode method, that method is not limited, but its panics are errors.
var Gob Codec = new(codec.Gob)

// JSON is a Codec for values that other programs should be able to read. Keys must be
// strings. Values come back in the types in which encoding/json decodes into an interface:
// numbers as float64, structs as map[string]any.
var JSON Codec = codec.JSON{}
