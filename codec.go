package lifecycle

import (
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle/internal/codec"
)

// Codec turns a session's values into bytes and back. It must be safe for concurrent use.
// Decode must read what Encode wrote, also in other processes. Encode is not called without
// values. Decode must return an error for bytes that Encode cannot have written. A panic
// of Encode or Decode counts as an error.
type Codec interface {
	Encode(values map[any]any) ([]byte, error)
	Decode(data []byte) (map[any]any, error)
}

// Gob is the default Codec, as in the stores of gin-contrib/sessions.
//
// A type of the application must be registered with gob.Register, in every process, when the
// program starts. These types need no registration: Go's basic types and slices of them;
// time.Time, time.Duration, time.Month and time.Weekday; gin.H and []gin.H; []any, and maps
// with string keys and elements of type any, string, bool, int, int64, uint, float64 or
// time.Time; map[any]any; maps of string to []string, []any, map[string]string or
// map[string]any; slices of map[string]any, map[string]string, []string and time.Time; maps
// of int to bool, int, string or any, of int64 to int, and of uint to int or bool;
// url.Values, http.Header, json.Number and json.RawMessage. Values may be nested. A pointer
// comes back as what it points to.
//
// Gob registers them at its first use that needs it. If the application has registered one
// of them before under another name, with gob.RegisterName or as a pointer, that name stays.
// After that first use, encoding/gob panics at a registration under another name.
//
// Decode is safe for any bytes, whoever wrote them: it returns an error for what it cannot
// read, and for what would take far more memory, time or stack than its size justifies.
// Values may be nested 10,000 deep, have 4,096 types, and take 16 MiB plus 256 times their
// encoded size in memory; Encode returns an error for more. If a type of the application has
// a GobDecode method, that method is not limited, but its panics are errors.
var Gob Codec = &codec.Gob{Types: []any{gin.H(nil), []gin.H(nil)}}

// JSON is a Codec for values that other programs should be able to read. Keys must be
// strings. Values come back in the types in which encoding/json decodes into an interface,
// but integers are exact:
//
//   - An integer, of whatever type, comes back as int64, as uint64 if only that can hold
//     it, or else as json.Number.
//   - A json.Number with a fraction or an exponent comes back as float64, or as it is if no
//     float64 can hold it.
//   - A float64 or float32 comes back as float64, also in slices and maps: Encode writes the
//     number two as 2.0. In a struct, and where a type has a MarshalJSON method, encoding/json
//     writes it as 2, and it comes back as int64.
//   - A struct comes back as map[string]any, any slice as []any, and a time.Time as its text.
//
// Encode returns an error for values nested deeper than 10,000, which encoding/json could not
// decode again.
var JSON Codec = codec.JSON{}
