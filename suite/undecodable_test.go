package suite_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/record"
)

// fragile is a codec of an application's own.
type fragile struct{ lifecycle.Codec }

func (f fragile) Decode(data []byte) (map[any]any, error) {
	switch string(data) {
	case "panic":
		panic("cannot be decoded")
	case "nil":
		return nil, nil
	}
	return f.Codec.Decode(data)
}

// setValues replaces the values in a session's record behind the app's back.
func (a *app) setValues(id string, values []byte) {
	a.t.Helper()
	key := a.key("session:" + id)
	packed, err := a.admin.Get(within(a.t), key).Bytes()
	if err != nil {
		a.t.Fatal(err)
	}
	rec, err := record.Unpack(packed)
	if err != nil {
		a.t.Fatal(err)
	}
	rec.Values = values
	if err := a.admin.Set(within(a.t), key, record.Pack(rec), redis.KeepTTL).Err(); err != nil {
		a.t.Fatal(err)
	}
}

// gobOf returns the gob of a map with these bytes for the number of entries and the
// entries.
func gobOf(t *testing.T, entries string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := gob.NewEncoder(&out).Encode(map[any]any{}); err != nil {
		t.Fatal(err)
	}
	// Two messages, each with its length first: the type, and the value, which ends with
	// the number of entries.
	data := out.Bytes()
	data[1+data[0]] += byte(len(entries) - 1)
	return append(data[:len(data)-1], entries...)
}

// Whoever can write a record cannot take an instance's memory or its life: the request
// fails, the hook gets the reason, and the instance goes on.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix(), lifecycle.WithCodec(fragile{lifecycle.Gob})).start()
	var failure error
	r := gin.New()
	r.Use(func(c *gin.Context) {
		c.Next()
		if last := c.Errors.Last(); last != nil {
			failure = last.Err
		}
	}, a.m.Middleware())
	r.GET("/", func(*gin.Context) { t.Error("the handler runs") })
	watched := &app{t: t, router: r}
	for what, values := range map[string][]byte{
		"2^23 entries":        gobOf(t, "\xfd\x80\x00\x00"),
		"2^27 entries":        gobOf(t, "\xfc\x08\x00\x00\x00"),
		"bytes as a key":      gobOf(t, "\x01\x07[]uint8\x0a\x03\x00\x01x\x03int\x04\x02\x00\x02"),
		"a codec that panics": []byte("panic"),
	} {
		id, v := a.begin()
		a.setValues(id, values)
		failure = nil
		if w := watched.visit(v, "/"); w.Code != http.StatusInternalServerError || !errors.Is(failure, lifecycle.ErrUndecodable) {
			t.Errorf("%s: %d, %v", what, w.Code, failure)
		}
		s, err := a.m.Get(within(t), id)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Get("x"); got != nil || !errors.Is(s.Err(), lifecycle.ErrUndecodable) {
			t.Errorf("%s: %v, %v", what, got, s.Err())
		}
		if err := a.m.Destroy(within(t), id, ""); err != nil {
			t.Fatal(err)
		}
		if s := a.nextDestroyed(); s.ID != id || s.Values() != nil || !errors.Is(s.Err(), lifecycle.ErrUndecodable) {
			t.Errorf("%s: hook of %s: %v, %v", what, s.ID, s.Values(), s.Err())
		}
	}
}

// A codec that decodes nothing at all gives a session without values, which can be
// written to.
func TestCodecWithoutValues(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix(), lifecycle.WithCodec(fragile{lifecycle.Gob}))
	id, v := a.begin()
	a.setValues(id, []byte("nil"))
	a.ok(v, "/set?user=alice")
	if got := a.ok(v, "/get?key=user"); got != "alice" {
		t.Errorf("user %q", got)
	}
}

// A key that cannot be one has no value.
func TestGetOfAnyKey(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	s, err := a.m.Get(within(t), id)
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
