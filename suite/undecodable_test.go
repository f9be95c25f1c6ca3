package suite_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// fragile is a codec of an application. While instead is not nil, the codec writes these
// bytes in place of the values, as a program could that writes to Redis itself.
type fragile struct {
	lifecycle.Codec
	instead []byte
}

func (f *fragile) Encode(values map[any]any) ([]byte, error) {
	if f.instead != nil {
		return f.instead, nil
	}
	return f.Codec.Encode(values)
}

func (f *fragile) Decode(data []byte) (map[any]any, error) {
	switch string(data) {
	case "panic":
		panic("cannot be decoded")
	case "nil":
		return nil, nil
	}
	return f.Codec.Decode(data)
}

// write replaces the values of a visitor's session.
func (f *fragile) write(a *app, v *visitor, values []byte) {
	a.t.Helper()
	f.instead = values
	a.ok(v, "/set?user=mallory")
	f.instead = nil
}

// gobOf returns the gob of a map in which entries are the bytes for the number of entries
// and for the entries themselves.
func gobOf(t *testing.T, entries string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := gob.NewEncoder(&out).Encode(map[any]any{}); err != nil {
		t.Fatal(err)
	}
	// A gob has two messages, each with its length in front: the type and the value. The
	// value ends with the number of entries.
	data := out.Bytes()
	data[1+data[0]] += byte(len(entries) - 1)
	return append(data[:len(data)-1], entries...)
}

// A program that writes to Redis writes values that are made to harm. An instance neither
// runs out of memory nor crashes: the request fails, the hook gets the reason, and the
// instance continues.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	codec := &fragile{Codec: lifecycle.Gob}
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithCodec(codec)).start()
	var failure error
	watched := a.with(func(c *gin.Context) {
		c.Next()
		if last := c.Errors.Last(); last != nil {
			failure = last.Err
		}
	}, a.m.Middleware())
	watched.get("/", func(*lifecycle.Context) { t.Error("the handler runs") })
	for what, values := range map[string][]byte{
		"2^23 entries":        gobOf(t, "\xfd\x80\x00\x00"),
		"2^27 entries":        gobOf(t, "\xfc\x08\x00\x00\x00"),
		"bytes as a key":      gobOf(t, "\x01\x07[]uint8\x0a\x03\x00\x01x\x03int\x04\x02\x00\x02"),
		"a codec that panics": []byte("panic"),
	} {
		id, v := a.begin()
		codec.write(a, v, values)
		failure = nil
		if w := watched.visit(v, "/"); w.Code != http.StatusInternalServerError || !errors.Is(failure, lifecycle.ErrUndecodable) {
			t.Errorf("%s: %d, %v", what, w.Code, failure)
		}
		s, err := a.m.Get(redistest.Within(t), id)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Get("x"); got != nil || !errors.Is(s.Err(), lifecycle.ErrUndecodable) {
			t.Errorf("%s: %v, %v", what, got, s.Err())
		}
		a.end(id, "")
		if s := a.nextDestroyed(); s.ID != id || s.Values() != nil || !errors.Is(s.Err(), lifecycle.ErrUndecodable) {
			t.Errorf("%s: hook of %s: %v, %v", what, s.ID, s.Values(), s.Err())
		}
	}
}

// A codec decodes values to a nil map. The session has no values, and the application can
// save some.
func TestCodecWithoutValues(t *testing.T) {
	t.Parallel()
	codec := &fragile{Codec: lifecycle.Gob}
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithCodec(codec))
	_, v := a.begin()
	codec.write(a, v, []byte("nil"))
	a.ok(v, "/set?user=alice")
	if got := a.ok(v, "/get?key=user"); got != "alice" {
		t.Errorf("user %q", got)
	}
}

// Session.Get returns nil for a key that cannot be the key of a map.
func TestGetOfAnyKey(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	s, err := a.m.Get(redistest.Within(t), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []any{
		[]byte("user"), map[string]any{}, []any{}, func() {}, [1]any{[]byte{}}, struct{ k any }{[]int{}}, nil,
	} {
		if got := s.Get(key); got != nil {
			t.Errorf("Get(%#v): %v", key, got)
		}
	}
	if got := s.Get("user"); got != "alice" {
		t.Errorf("user %v", got)
	}
}
