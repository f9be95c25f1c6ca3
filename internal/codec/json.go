package codec

import (
	"encoding/json"
	"fmt"
)

// JSON encodes values as one JSON object. The zero value is ready to use. It is safe for
// concurrent use.
type JSON struct{}

// Encode encodes values. It returns an error if a key is not a string, and for values that
// encoding/json cannot encode.
func (JSON) Encode(values map[any]any) ([]byte, error) {
	object := make(map[string]any, len(values))
	for k, v := range values {
		key, ok := k.(string)
		if !ok {
			return nil, fmt.Errorf("key %v of type %T: in JSON, keys must be strings", k, k)
		}
		object[key] = v
	}
	return json.Marshal(object)
}

// Decode decodes what Encode has written. The values have the types that encoding/json uses
// for an interface: numbers are float64, for example.
func (JSON) Decode(data []byte) (map[any]any, error) {
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, err
	}
	values := make(map[any]any, len(object))
	for k, v := range object {
		values[k] = v
	}
	return values, nil
}
