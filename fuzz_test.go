package lifecycle_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/embedded"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Whatever stands in the Cookie line: the visitor gets a session whose ID is not
// of his choosing, and nothing of it becomes part of a key.
func FuzzCookie(f *testing.F) {
	rdb, err := embedded.Start()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = rdb.Close() })
	a := newAppWithoutHooks(f, rdb.Client, "fuzz")
	_, v := a.begin()
	f.Add(v.cookie)
	f.Add("session=")
	f.Add("session=a.b; session=c")
	f.Add("session=" + strings.Repeat("A", token.IDLength) + "." + strings.Repeat("A", token.Length-token.IDLength-1))
	f.Fuzz(func(t *testing.T, line string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Cookie"] = []string{line}
		w := httptest.NewRecorder()
		a.router.ServeHTTP(w, r)
		id := w.Body.String()
		if w.Code != http.StatusOK || !token.ValidID(id) {
			t.Fatalf("%d, session %q", w.Code, id)
		}
		if strings.Contains(line, id) && line != v.cookie && !strings.Contains(line, v.cookie) {
			t.Errorf("the visitor chose the ID: %q", id)
		}
	})
}

// Decode takes any bytes without a panic, and takes what encoding/gob takes, with
// the same result.
func FuzzGob(f *testing.F) {
	var first []byte
	for _, values := range []map[any]any{
		{"user": "alice"}, {1: []any{"a"}, "b": true}, {},
		{"i": -1, "i64": int64(1) << 62, "f": 0.1, "b": false, "s": strings.Repeat("x", 300), 0: "", 2.5: int64(-128)},
		{"u": uint8(3), "bytes": []byte("x")},
	} {
		data, err := lifecycle.Gob.Encode(values)
		if err != nil {
			f.Fatal(err)
		}
		if first == nil {
			first = data
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// The description has been accepted: what is quick is tried.
		if _, err := lifecycle.Gob.Decode(first); err != nil {
			t.Fatal(err)
		}
		values, err := lifecycle.Gob.Decode(data)
		in := bytes.NewReader(data)
		var want map[any]any
		wantErr := gob.NewDecoder(in).Decode(&want)
		if in.Len() > 0 {
			wantErr = errors.New("bytes are left")
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("Decode: %v, encoding/gob: %v", err, wantErr)
		}
		// Printed, since NaN does not equal itself.
		if err == nil && fmt.Sprintf("%#v", values) != fmt.Sprintf("%#v", want) {
			t.Errorf("Decode: %#v, encoding/gob: %#v", values, want)
		}
	})
}
