package suite_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"net/http"
	"testing"
	"time"

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

// A deploy has changed a type: the values of sessions cannot be decoded any more. The visitor
// can log out, the requests that fail do not prolong the session, and pages that need no
// session can be served.
func TestUndecodableSessionCanBeEnded(t *testing.T) {
	t.Parallel()
	for name, logOut := range map[string]func(c *lifecycle.Context) error{
		"DestroySession": (*lifecycle.Context).DestroySession,
		"MaxAge -1":      logout,
		"RenewSession":   (*lifecycle.Context).RenewSession,
	} {
		codec := &fragile{Codec: lifecycle.Gob}
		var a *app
		a = newApp(t, shared(t), redistest.Prefix(), lifecycle.WithCodec(codec), lifecycle.WithErrorHandler(func(c *gin.Context, err error) {
			if !errors.Is(err, lifecycle.ErrUndecodable) {
				t.Errorf("%s: the error handler gets %v", name, err)
			}
			switch x := lifecycle.From(c); c.FullPath() {
			case "/logout":
				a.answer(x, logOut(x))
			case "/public":
				c.Next()
			default:
				c.AbortWithStatus(http.StatusInternalServerError)
			}
		})).start()
		b := a.with(a.m.Middleware())
		b.get("/", func(*lifecycle.Context) { t.Errorf("%s: the handler runs", name) })
		b.get("/logout", func(*lifecycle.Context) { t.Errorf("%s: the handler runs", name) })
		b.get("/public", func(c *lifecycle.Context) {
			if c.Session() != nil {
				t.Errorf("%s: the public page has session %s", name, c.Session().ID)
			}
			if got := c.Values().Get("user"); got != nil {
				t.Errorf("%s: the public page has user %v", name, got)
			}
			for what, err := range map[string]error{
				"RotateSession": c.RotateSession(), "OnSessionDestroyed": register(c, nothing),
				"SessionContext": context.Cause(c.SessionContext()),
				"Save":           save(c, "user", "mallory"), "Begin": c.Begin(),
			} {
				if !errors.Is(err, lifecycle.ErrUndecodable) {
					t.Errorf("%s: %s on a public page: %v", name, what, err)
				}
			}
			c.String(http.StatusOK, "public")
		})
		id, v := a.begin()
		codec.write(a, v, []byte("panic"))
		a.expireIn(id, time.Minute)
		for _, page := range []string{"/", "/public", "/"} {
			w := b.visit(v, page)
			if want := map[string]int{"/": 500, "/public": 200}[page]; w.Code != want {
				t.Errorf("%s: %s: %d, want %d", name, page, w.Code, want)
			}
			if left := a.left(id); left > time.Minute {
				t.Errorf("%s: after a request that failed the session lives for %v, want a minute", name, left)
			}
		}
		if w := b.visit(v, "/logout"); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed || !errors.Is(s.Err(), lifecycle.ErrUndecodable) {
			t.Errorf("%s: ended: %s, %s, %v", name, s.ID, s.Reason, s.Err())
		}
		if (v.cookie != "") != (name == "RenewSession") {
			t.Errorf("%s: the visitor has the cookie %q", name, v.cookie)
		}
		if got := a.ok(v, "/"); got == id || got == "" {
			t.Errorf("%s: the next request has session %q", name, got)
		}
	}
}

// With WithEndUndecodable such a session ends by itself, and the visitor gets a new one.
func TestEndUndecodable(t *testing.T) {
	t.Parallel()
	codec := &fragile{Codec: lifecycle.Gob}
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithCodec(codec), lifecycle.WithEndUndecodable()).start()
	id, v := a.begin()
	codec.write(a, v, []byte("panic"))
	next := a.ok(v, "/")
	if next == id || next == "" {
		t.Errorf("the session is %q, and was %s", next, id)
	}
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonUndecodable || !errors.Is(s.Err(), lifecycle.ErrUndecodable) {
		t.Errorf("ended: %s, %s, %v", s.ID, s.Reason, s.Err())
	}
	if got := a.ok(v, "/"); got != next {
		t.Errorf("the next request has session %s, want %s", got, next)
	}
	// A record that cannot be read at all does not hold its visitor either.
	a.spoil(next)
	if got := a.ok(v, "/"); got == next || got == "" {
		t.Errorf("after its record was spoilt the session is %q", got)
	}
}

// While Redis is away, an error handler may let public pages run. They have no session, and
// what needs one returns the error.
func TestPublicPagesWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	a := newApp(t, onServer(t, server), redistest.Prefix(), lifecycle.WithRedisTimeout(100*time.Millisecond),
		lifecycle.WithErrorHandler(func(c *gin.Context, _ error) { c.Next() }))
	a.get("/public", func(c *lifecycle.Context) {
		for what, err := range map[string]error{
			"RotateSession": c.RotateSession(), "OnSessionDestroyed": register(c, nothing), "DestroySession": c.DestroySession(),
			"Save": save(c, "user", "mallory"), "Begin": c.Begin(), "RenewSession": c.RenewSession(),
		} {
			if !errors.Is(err, lifecycle.ErrUnavailable) {
				t.Errorf("%s: %v", what, err)
			}
		}
		c.String(http.StatusOK, "public %s", idOf(c))
	})
	_, v := a.begin()
	server.Kill()
	for _, who := range []*visitor{v, new(visitor)} {
		if got := a.ok(who, "/public"); got != "public " {
			t.Errorf("the page says %q", got)
		}
	}
	if v.cookie == "" {
		t.Error("the visitor has lost the cookie")
	}
	server.Restart(t)
}

// A created hook has refused the session, and the error handler goes on. The handler runs once,
// has no session, and whatever it does returns the error: none begins.
func TestPublicPagesAfterARefusal(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix(), lifecycle.WithCreatedHooksRequired(),
		lifecycle.WithErrorHandler(func(c *gin.Context, _ error) { c.Next(); c.Next() }))
	hooks, pages := 0, 0
	a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		hooks++
		s.Set("user", "nobody")
		return errors.New("refused")
	})
	a.get("/public", func(c *lifecycle.Context) {
		pages++
		if c.Session() != nil || c.Values().ID() != "" || c.Values().Get("user") != nil {
			t.Errorf("the page has session %q of %v", c.Values().ID(), c.Values().Get("user"))
		}
		_, kept := c.KeepAlive()
		for i, err := range []error{
			c.RotateSession(), c.DestroySession(), c.RenewSession(), c.Begin(), c.SetTimeouts(time.Hour, 0), kept,
			register(c, nothing), context.Cause(c.SessionContext()), save(c, "user", "mallory"), logout(c),
		} {
			if !errors.Is(err, lifecycle.ErrRefused) {
				t.Errorf("use %d: %v, want ErrRefused", i, err)
			}
		}
		c.String(http.StatusOK, "public")
	})
	a.ok(new(visitor), "/public")
	if hooks != 1 || pages != 1 {
		t.Errorf("%d created hooks and %d pages, want one each", hooks, pages)
	}
}

// stubborn is a codec that decodes nothing, and not before the test allows it.
type stubborn struct {
	lifecycle.Codec
	asked, answer chan struct{}
}

func (f *stubborn) Decode([]byte) (map[any]any, error) {
	close(f.asked)
	<-f.answer
	return nil, errors.New("another type")
}

// In a rolling deploy one instance cannot decode a session and another one can. The request that
// fails does not take back what a good request at the same time has prolonged.
func TestAFailingRequestBesideAGoodOne(t *testing.T) {
	t.Parallel()
	prefix := redistest.Prefix()
	a := newApp(t, shared(t), prefix)
	codec := &stubborn{lifecycle.Gob, make(chan struct{}), make(chan struct{})}
	b := newApp(t, shared(t), prefix, lifecycle.WithCodec(codec))
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	a.expireIn(id, time.Minute)
	failed := make(chan int, 1)
	same := *v
	go func() { failed <- b.visit(&same, "/").Code }()
	redistest.Receive(t, codec.asked)
	read := time.Now()
	redistest.Eventually(t, "so long that no command is under way for it", func() bool { return time.Since(read) > time.Second })
	a.ok(v, "/")
	close(codec.answer)
	if got := redistest.Receive(t, failed); got != http.StatusInternalServerError {
		t.Errorf("the failing request: %d", got)
	}
	if left := a.left(id); left < 29*time.Minute {
		t.Errorf("the session lives for %v, want half an hour", left)
	}
}
