package codec

import (
	"encoding/json"
	"fmt"
)

// JSON writes and reads values as one JSON object. Its zero value is ready, and safe
// for concurrent use.
type JSON struct{}

// Encode returns the object. It returns an error for a key that is not a string.
func (JSON) Encode(values map[any]any) ([]byte, error) {
	object := make(map[string]any, len(values))
	for k, v := range values {
		key, ok := k.(string)
		if !ok {
			return nil, fmt.Errorf("key %v of type %T: JSON needs strings as keys", k, k)
		}
		object[key] = v
	}
	return json.Marshal(object)
}

// Decode returns the values of an object, in the types in which encoding/json decodes
// into an interface.
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
