package lifecycle_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"math"
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
	a := newAppWithoutHooks(f, onClient(rdb.Client), "fuzz")
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

// Encode writes what encoding/gob writes, byte for byte where there is an order.
func FuzzGobEncode(f *testing.F) {
	f.Add("user", int64(-1), uint64(127), 0.1, []byte("x"), true)
	f.Add("", int64(64), uint64(128), math.Inf(-1), []byte{}, false)
	f.Add(strings.Repeat("x", 200), int64(math.MinInt64), uint64(math.MaxUint64), math.NaN(), bytes.Repeat([]byte("y"), 300), true)
	f.Fuzz(func(t *testing.T, s string, i int64, u uint64, x float64, b []byte, yes bool) {
		for _, v := range []any{
			s, b, yes, i, int(i), int8(i), int16(i), int32(i), u, uint(u), uint8(u), uint16(u), uint32(u), x, float32(x),
		} {
			checkEncode(t, map[any]any{"key": v})
		}
		for _, values := range []map[any]any{nil, {}, {i: s}, {s: []byte(nil)}, {s: []any{s, i}}} {
			checkEncode(t, values)
		}
		all := map[any]any{s: i, i: s, u: yes, yes: b, "x": float32(1)}
		data, err := lifecycle.Gob.Encode(all)
		if err != nil {
			t.Fatal(err)
		}
		var got map[any]any
		if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", all) && len(b) > 0 {
			t.Errorf("Encode: %#v, encoding/gob reads %#v", all, got)
		}
	})
}

func checkEncode(t *testing.T, values map[any]any) {
	t.Helper()
	got, err := lifecycle.Gob.Encode(values)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := gob.NewEncoder(&want).Encode(values); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("Encode(%#v):\n%x, encoding/gob:\n%x", values, got, want.Bytes())
	}
}
