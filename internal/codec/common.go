package codec

import (
	"encoding/gob"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// common are types of the standard library that applications store in sessions. Without a
// registration encoding/gob refuses a value of them in an interface. It registers the basic
// types, and slices of these, by itself.
var common = []any{
	[]any(nil), map[string]any(nil), map[any]any(nil), []map[string]any(nil), map[string][]any(nil),
	map[string]string(nil), []map[string]string(nil), map[string][]string(nil), [][]string(nil),
	map[string]map[string]string(nil), map[string]map[string]any(nil),
	map[string]bool(nil), map[string]int(nil), map[string]int64(nil), map[string]uint(nil), map[string]float64(nil),
	map[int]bool(nil), map[int]int(nil), map[int]string(nil), map[int]any(nil), map[int64]int(nil), map[uint]int(nil), map[uint]bool(nil),
	time.Time{}, []time.Time(nil), map[string]time.Time(nil), time.Duration(0), time.Month(0), time.Weekday(0),
	url.Values(nil), http.Header(nil), json.Number(""), json.RawMessage(nil),
}

// register registers the common types and c.Types with encoding/gob. It is called by the
// first Encode or Decode that needs it, and not when the program starts: a type has one name
// in a process, and that of the application, which registers when it starts, goes first.
func (c *Gob) register() {
	c.registered.Do(func() {
		for _, v := range common {
			registerUnlessNamed(v)
		}
		for _, v := range c.Types {
			registerUnlessNamed(v)
		}
	})
}

// registerUnlessNamed registers the type of v. If the application has registered the type
// already, under another name or as a pointer, encoding/gob panics and that registration
// stays.
func registerUnlessNamed(v any) {
	defer func() { _ = recover() }()
	gob.Register(v)
}
