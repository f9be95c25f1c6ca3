package codec

import (
	"encoding/gob"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"testing"
	"time"
)

type ownType struct{ N int }

// The types of common need no registration by the application, alone and nested in others.
// The tests of this package register types of their own, so this one runs in a process in
// which nobody has.
func TestCommonTypes(t *testing.T) {
	t.Parallel()
	if os.Getenv("LIFECYCLE_COMMON") == "" {
		for _, how := range []string{"plain", "registered before", "named before", "pointer before"} {
			cmd := exec.Command(os.Args[0], "-test.run=^TestCommonTypes$")
			cmd.Env = append(os.Environ(), "LIFECYCLE_COMMON="+how)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", how, err, out)
			}
		}
		return
	}
	switch os.Getenv("LIFECYCLE_COMMON") {
	case "registered before":
		gob.Register(url.Values{})
		gob.Register(map[string]int{})
	case "named before":
		gob.RegisterName("the application's", url.Values{})
		gob.RegisterName("also", ownType{})
	case "pointer before":
		gob.Register(&url.Values{})
	}
	c := &Gob{Types: []any{ownType{}}}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	cart := map[string]any{"at": at, "lines": []map[string]any{{"n": 1}}, "own": ownType{1}}
	values := map[any]any{
		"time": at, "list": []any{at, 1, nil}, "map": cart, "maps": []map[string]any{cart}, "any": map[any]any{1: at},
		"texts": map[string]string{"a": "b"}, "counts": map[string]int{"a": 1}, "table": [][]string{{"a"}},
		"for": time.Minute, "form": url.Values{"a": {"b"}}, "header": http.Header{"A": {"b"}}, "own": ownType{2},
		"nested": map[string]any{"form": url.Values{"a": {"b", "c"}}, "list": []any{[]any{map[int]string{1: "a"}}}},
	}
	data, err := c.Encode(values)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("LIFECYCLE_COMMON") == "pointer before" {
		return // they come back as pointers, as the application has registered them
	}
	if got, err := c.Decode(data); err != nil || !reflect.DeepEqual(got, values) {
		t.Errorf("decoded as %v, %v", got, err)
	}
	for _, v := range common {
		data, err := c.Encode(map[any]any{"v": v})
		if err != nil {
			t.Errorf("%T: %v", v, err)
			continue
		}
		if got, err := c.Decode(data); err != nil || reflect.TypeOf(got["v"]) != reflect.TypeOf(v) {
			t.Errorf("%T comes back as %T, %v", v, got["v"], err)
		}
	}
	if got, err := c.Decode(data); err != nil || len(got) == 0 {
		t.Errorf("again: %v, %v", got, err)
	}
	gob.Register(time.Time{}) // the application may do so later, under the usual name
}

// Another process decodes first.
func TestCommonTypesAreDecodedFirst(t *testing.T) {
	t.Parallel()
	const file = "LIFECYCLE_COMMON_DECODE"
	if path := os.Getenv(file); path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := new(Gob).Decode(data); err != nil || !reflect.DeepEqual(got["v"], []map[string]any{{"a": time.Minute}}) {
			t.Fatalf("decoded as %v, %v", got, err)
		}
		return
	}
	data, err := new(Gob).Encode(map[any]any{"v": []map[string]any{{"a": time.Minute}}})
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/values"
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestCommonTypesAreDecodedFirst$")
	cmd.Env = append(os.Environ(), file+"="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
