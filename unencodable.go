package lifecycle

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Many applications ignore the error of Save. So what keeps a session from being saved is
// logged as well, once for each type. Neither values nor keys that are no texts are logged.

// maxKeyText is how much of a key's text is shown, in bytes.
const maxKeyText = 64

// unencodable returns the error for values that the codec has refused with err. It names the
// key and the type of a value that the codec refuses by itself.
func (s *Store) unencodable(values map[any]any, err error) error {
	for k, v := range values {
		alone := s.encodeAlone(k, v)
		if alone == nil {
			continue
		}
		what, culprit := "value", v
		if s.encodeAlone(k, true) != nil {
			what, culprit = "key", k
		}
		key, typ, cause := keyText(k), fmt.Sprintf("%T", culprit), ownWords(alone)
		s.logOnce(slog.LevelError, "encode "+what+" "+typ+" "+cause,
			"lifecycle: a session was not saved, and Save has returned an error, because the codec cannot encode the type of a "+what+
				"; with the codec Gob, register a type of the application with gob.Register when the program starts; "+
				"functions, channels and structs without exported fields cannot be saved. This is logged once for each type",
			"key", key, "type", typ, "cause", cause)
		return fmt.Errorf("lifecycle: encode the session's values: the %s of type %s, under the key %s: %w", what, typ, key, alone)
	}
	s.logOnce(slog.LevelError, "encode", "lifecycle: a session was not saved, and Save has returned an error, because the codec cannot encode its values together, "+
		"though each of them by itself; save less in the session", "keys", len(values), "cause", ownWords(err))
	return fmt.Errorf("lifecycle: encode the session's values: %w", err)
}

func (s *Store) encodeAlone(key, value any) error {
	_, err := encodeValues(s.config.codec, map[any]any{key: value})
	return err
}

// errPanicked is the error for a codec that has panicked.
var errPanicked = errors.New("panic")

// encodeValues makes a panic an error: that of the codec, or of a method of a value, which the
// codec calls.
func encodeValues(codec Codec, values map[any]any) (data []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			data, err = nil, fmt.Errorf("%w: %v", errPanicked, r)
		}
	}()
	return codec.Encode(values)
}

// tooLarge returns the error for values that take size bytes.
func (s *Store) tooLarge(values map[any]any, size int) error {
	err := &ValuesTooLargeError{Size: size, Limit: s.config.maxValues}
	if _, said := s.warned.Load(topicTooLarge); said {
		return err
	}
	var largest any
	most := -1
	for k, v := range values {
		if data, _ := encodeValues(s.config.codec, map[any]any{k: v}); len(data) > most {
			largest, most = k, len(data)
		}
	}
	s.logOnce(slog.LevelError, topicTooLarge, "lifecycle: a session was not saved, and Save has returned an error, because its values are larger than WithMaxValuesSize allows; "+
		"save less in the session, for example an ID in place of what it names, or raise WithMaxValuesSize. This is logged once",
		"bytes", size, "limit", err.Limit, "largestKey", keyText(largest), "largestType", fmt.Sprintf("%T", values[largest]))
	return err
}

const topicTooLarge = "values too large"

// keyText returns a key as it may be shown: a text, cut, or only the type.
func keyText(key any) string {
	if text, ok := key.(string); ok {
		return fmt.Sprintf("%q", cut(text, maxKeyText))
	}
	return fmt.Sprintf("of type %T", key)
}

// ownWords returns the text of an error if encoding/gob or encoding/json has made it, of
// types alone. The errors of methods of the application, and of its own codec, may contain
// values.
func ownWords(err error) string {
	if errors.Is(err, errPanicked) {
		return "a panic"
	}
	text := err.Error()
	for _, own := range []string{
		"gob: type ", "gob: gob: cannot encode nil pointer", "gob NewTypeObject can't handle type: ",
		"json: unsupported type: ", "json: unsupported value: ", "json: nested deeper", "the values could be saved but not read again: gob: ",
	} {
		if strings.HasPrefix(text, own) {
			return cut(text, 4*maxKeyText)
		}
	}
	return fmt.Sprintf("an error of type %T", err)
}
