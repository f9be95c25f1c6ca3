package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// JSON encodes values as one JSON object. The zero value is ready to use. It is safe for
// concurrent use.
type JSON struct{}

// Encode encodes values. It returns an error if a key is not a string, for values that
// encoding/json cannot encode, and for those that are nested too deep to be decoded again.
func (JSON) Encode(values map[any]any) ([]byte, error) {
	object := make(map[string]any, len(values))
	for k, v := range values {
		key, ok := k.(string)
		if !ok {
			return nil, fmt.Errorf("key %v of type %T: in JSON, keys must be strings", k, k)
		}
		marked, err := markFloats(v, 1)
		if err != nil {
			return nil, err
		}
		object[key] = marked
	}
	data, err := json.Marshal(object)
	// Only that many bytes can be nested too deep for encoding/json to decode them.
	if err == nil && len(data) > 2*maxDepth && !json.Valid(data) {
		return nil, fmt.Errorf("json: nested deeper than %d", maxDepth)
	}
	return data, err
}

// Decode decodes what Encode has written. The values have the types that encoding/json uses
// for an interface, but a number is an int64, uint64, float64 or json.Number; see exact.
func (JSON) Decode(data []byte) (map[any]any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("json: bytes after the object")
	}
	values := make(map[any]any, len(object))
	for k, v := range object {
		values[k] = withNumbers(v)
	}
	return values, nil
}

// withNumbers returns a decoded value in which exact has replaced every json.Number. It
// changes v. The recursion is no deeper than encoding/json has allowed.
func withNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		return exact(v)
	case []any:
		for i := range v {
			v[i] = withNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = withNumbers(v[k])
		}
	}
	return v
}

// exact returns an integer as int64, as uint64 if only that can hold it, or else as it is.
// A number with a fraction or an exponent is a float64, or stays as it is if no float64 can
// hold it: Encode has written it for a json.Number.
func exact(n json.Number) any {
	if strings.ContainsAny(string(n), ".eE") {
		if f, err := n.Float64(); err == nil {
			return f
		}
		return n
	}
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return i
	}
	if u, err := strconv.ParseUint(string(n), 10, 64); err == nil {
		return u
	}
	return n
}
