package suite_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/tester"
	"github.com/gin-gonic/gin"
	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle"
)

// foreignStore is another store.
type foreignStore struct{}

func (f foreignStore) Get(_ *http.Request, name string) (*gsessions.Session, error) {
	return gsessions.NewSession(f, name), nil
}

func (f foreignStore) New(r *http.Request, name string) (*gsessions.Session, error) {
	return f.Get(r, name)
}

func (foreignStore) Save(*http.Request, http.ResponseWriter, *gsessions.Session) error { return nil }

func (foreignStore) Options(sessions.Options) {}

// The suite that gin-contrib/sessions ships for stores.
func TestConformance(t *testing.T) {
	t.Parallel()
	newStore := func(t *testing.T) sessions.Store {
		d, p := shared(t), prefix()
		s, err := lifecycle.NewStore(d.client(t, p), lifecycle.WithPrefix(p))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("GetSet", func(t *testing.T) { t.Parallel(); tester.GetSet(t, newStore) })
	t.Run("DeleteKey", func(t *testing.T) { t.Parallel(); tester.DeleteKey(t, newStore) })
	t.Run("Flashes", func(t *testing.T) { t.Parallel(); tester.Flashes(t, newStore) })
	t.Run("Clear", func(t *testing.T) { t.Parallel(); tester.Clear(t, newStore) })
	t.Run("Options", func(t *testing.T) { t.Parallel(); tester.Options(t, newStore) })
	t.Run("Many", func(t *testing.T) { t.Parallel(); tester.Many(t, newStore) })
	t.Run("ManyStores", func(t *testing.T) { t.Parallel(); tester.ManyStores(t, newStore) })
}

// A shorter idle timeout set by a save is kept to.
func TestShorterIdleTimeout(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	a.get("/short", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		s.Options(sessions.Options{Path: "/", MaxAge: 1})
		a.answer(c, s.Save())
	})
	id, v := a.begin()
	a.ok(v, "/short")
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonIdleTimeout {
		t.Errorf("ended: %s, %s", s.ID, s.Reason)
	}
}

// A request keeps a session alive beyond the deadline that its due entry knows.
func TestTouchedSessionsLive(t *testing.T) {
	t.Parallel()
	const idle = time.Second
	a := newApp(t, shared(t), prefix(), lifecycle.WithIdleTimeout(idle))
	id, v := a.begin()
	first := a.admin.ZScore(within(t), a.key("due"), id).Val()
	eventually(t, "its due entry moves", func() bool {
		if got := a.ok(v, "/"); got != id {
			t.Fatalf("the session is %q", got)
		}
		return a.admin.ZScore(within(t), a.key("due"), id).Val() > first
	})
	s := a.nextDestroyed()
	if s.ID != id || s.EndedAt.UnixMilli() <= int64(first) || s.EndedAt.Sub(s.LastSeenAt) != idle {
		t.Errorf("ended: %s at %v, seen at %v", s.ID, s.EndedAt, s.LastSeenAt)
	}
}

// A session under rotation is found all the same.
func TestGetDuringRotation(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	id, v := a.begin()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 300 {
			a.visit(v, "/rotate")
		}
	}()
	for {
		if _, err := a.m.Get(within(t), id); err != nil {
			t.Errorf("get: %v", err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

type point struct{ X, Y int }

func TestCodecs(t *testing.T) {
	t.Parallel()
	gob.Register(point{})
	values := map[any]any{"text": "t", "int": 7, "list": []any{"a"}, "point": point{1, 2}, 3: "three"}
	for range 5 { // decoders are kept
		data, err := lifecycle.Gob.Encode(values)
		if err != nil {
			t.Fatal(err)
		}
		got, err := lifecycle.Gob.Decode(data)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(values) {
			t.Fatalf("gob: %v, %v", got, err)
		}
		plain, err := lifecycle.Gob.Encode(map[any]any{"a": "b"})
		if err != nil {
			t.Fatal(err)
		}
		// Any gob decoder reads it.
		var std map[any]any
		if err := gob.NewDecoder(bytes.NewReader(plain)).Decode(&std); err != nil || len(std) != 1 || std["a"] != "b" {
			t.Fatalf("encoding/gob reads %v, %v", std, err)
		}
		if got, err := lifecycle.Gob.Decode(plain); err != nil || len(got) != 1 || got["a"] != "b" {
			t.Fatalf("gob: %v, %v", got, err)
		}
		for cut := range data {
			if _, err := lifecycle.Gob.Decode(data[:cut]); err == nil {
				t.Fatalf("gob: %d of %d bytes are good", cut, len(data))
			}
		}
		if _, err := lifecycle.Gob.Decode(append(data, 0)); err == nil {
			t.Fatal("gob: a byte too many is good")
		}
	}
	data, err := lifecycle.JSON.Encode(map[any]any{"a": 1, "b": "c"})
	if err != nil || string(data) != `{"a":1,"b":"c"}` {
		t.Errorf("JSON: %s, %v", data, err)
	}
	if got, err := lifecycle.JSON.Decode(data); err != nil || got["a"] != 1.0 || got["b"] != "c" {
		t.Errorf("JSON: %v, %v", got, err)
	}
	if _, err := lifecycle.JSON.Encode(map[any]any{3: 1}); err == nil {
		t.Error("JSON takes a number as key")
	}
	if _, err := lifecycle.JSON.Decode([]byte("{")); err == nil {
		t.Error("JSON takes half an object")
	}
}

func TestValuesTooLarge(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix(), lifecycle.WithMaxValuesSize(200))
	var failure error
	a.get("/fill", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		s.Set("text", strings.Repeat("x", 300))
		failure = s.Save()
	})
	_, v := a.begin()
	a.ok(v, "/set?user=alice")
	a.visit(v, "/fill")
	var large *lifecycle.ValuesTooLargeError
	if !errors.As(failure, &large) || large.Limit != 200 || large.Size <= 300 {
		t.Errorf("error: %v", failure)
	}
	if got := a.ok(v, "/get?key=user"); got != "alice" {
		t.Errorf("user %q", got)
	}
}

// A record that cannot be decoded fails the request and stays as it is.
func TestUndecodable(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
	a := newApp(t, d, p)
	var failure error
	b := newApp(t, d, p, lifecycle.WithCodec(lifecycle.JSON), lifecycle.WithErrorHandler(func(c *gin.Context, err error) {
		failure = err
		c.AbortWithStatus(http.StatusTeapot)
	}))
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	record := a.admin.Get(within(t), a.key("session:"+id)).Val()
	if w := b.visit(&visitor{v.cookie}, "/set?user=mallory"); w.Code != http.StatusTeapot || !errors.Is(failure, lifecycle.ErrUndecodable) {
		t.Errorf("values of another codec: %d, %v", w.Code, failure)
	}
	// A bare store's handler runs, but its Save fails with the same error.
	r := gin.New()
	r.Use(sessions.Sessions("session", b.store))
	r.GET("/", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Set("user", "mallory")
		if err := s.Save(); !errors.Is(err, lifecycle.ErrUndecodable) {
			t.Errorf("save over an undecodable session: %v", err)
		}
	})
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.Header.Set("Cookie", v.cookie)
	r.ServeHTTP(httptest.NewRecorder(), req)
	if got := a.admin.Get(within(t), a.key("session:"+id)).Val(); got != record {
		t.Error("the record was changed")
	}
	// In a hook the rest is there, and the reason why the values are not.
	b.start()
	if err := b.m.Destroy(within(t), id, ""); err != nil {
		t.Fatal(err)
	}
	if s := b.nextDestroyed(); s.ID != id || s.Values() != nil || !errors.Is(s.Err(), lifecycle.ErrUndecodable) || s.Request.URI != "/" {
		t.Errorf("hook: %+v, %v", s, s.Err())
	}

	id, v = a.begin()
	a.admin.SetRange(within(t), a.key("session:"+id), 16, "\xff")
	if w := a.visit(v, "/"); w.Code != http.StatusInternalServerError {
		t.Errorf("a record of an unknown version: %d", w.Code)
	}
}

// Of two requests that save at once the later Save wins, as a whole.
func TestLaterSaveWins(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	entered, resume, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	a.get("/slow", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		s.Set("slow", "yes")
		close(entered)
		<-resume
		a.answer(c, s.Save())
	})
	_, v := a.begin()
	go func() {
		defer close(done)
		a.visit(&visitor{v.cookie}, "/slow")
	}()
	<-entered
	a.ok(v, "/set?fast=yes")
	close(resume)
	<-done
	if slow, fast := a.ok(v, "/get?key=slow"), a.ok(v, "/get?key=fast"); slow != "yes" || fast != "<nil>" {
		t.Errorf("slow %s, fast %s", slow, fast)
	}
}

// A store without a lifecycle middleware begins a session at the first Save.
func TestBareStore(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	r := gin.New()
	r.Use(sessions.Sessions("session", a.store))
	r.GET("/read", func(c *gin.Context) { c.String(http.StatusOK, "%v", sessions.Default(c).Get("user")) })
	r.GET("/write", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Set("user", "alice")
		if err := s.Save(); err != nil {
			t.Error(err)
		}
		c.String(http.StatusOK, s.ID())
	})
	r.GET("/logout", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Options(sessions.Options{Path: "/", MaxAge: -1})
		if err := s.Save(); err != nil {
			t.Error(err)
		}
	})
	bare := &app{t: t, router: r}
	v := new(visitor)
	if bare.ok(v, "/read"); v.cookie != "" {
		t.Error("a session began without a Save")
	}
	id := bare.ok(v, "/write")
	if got := bare.ok(v, "/read"); got != "alice" {
		t.Errorf("user %q", got)
	}
	bare.ok(v, "/logout")
	a.start() // the end waits for an instance
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed || s.Get("user") != "alice" {
		t.Errorf("ended: %s %s %v", s.ID, s.Reason, s.Values())
	}
	if len(a.created) > 0 {
		t.Error("a created hook ran")
	}

	// gorilla's own way.
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	g := gsessions.NewSession(a.store, "session")
	g.Values["user"] = "bob"
	if err := a.store.Save(req, httptest.NewRecorder(), g); err != nil || g.ID == "" {
		t.Errorf("save: %q, %v", g.ID, err)
	}
	first, err := a.store.Get(req, "session")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := a.store.Get(req, "session"); again != first {
		t.Error("a request has two sessions of one name")
	}
	if _, err := a.store.Get(req, "no cookie name"); err == nil {
		t.Error("a name with spaces is taken")
	}
}

func TestOptionErrors(t *testing.T) {
	t.Parallel()
	rdb := shared(t).client(t, prefix())
	for want, o := range map[string]lifecycle.Option{
		`WithPrefix("a{b}")`:                  lifecycle.WithPrefix("a{b}"),
		`WithPrefix("")`:                      lifecycle.WithPrefix(""),
		`WithBuckets(0)`:                      lifecycle.WithBuckets(0),
		`WithIdleTimeout(0s)`:                 lifecycle.WithIdleTimeout(0),
		`WithAbsoluteTimeout(-1s)`:            lifecycle.WithAbsoluteTimeout(-time.Second),
		`WithMaxValuesSize(-1)`:               lifecycle.WithMaxValuesSize(-1),
		`WithCodec(nil)`:                      lifecycle.WithCodec(nil),
		`WithRedisTimeout(1ns)`:               lifecycle.WithRedisTimeout(1),
		`WithSecureCookie(7)`:                 lifecycle.WithSecureCookie(7),
		`WithLogger(nil)`:                     lifecycle.WithLogger(nil),
		`WithSessionName("a b")`:              lifecycle.WithSessionName("a b"),
		`WithHookTimeout(0s)`:                 lifecycle.WithHookTimeout(0),
		`WithConcurrency(0)`:                  lifecycle.WithConcurrency(0),
		`WithLease(1ms)`:                      lifecycle.WithLease(time.Millisecond),
		`WithLookInterval(1h0m0s)`:            lifecycle.WithLookInterval(time.Hour),
		`WithRetry(0, ...)`:                   lifecycle.WithRetry(0, time.Second, time.Second),
		`WithRetry's longest pause(1s)`:       lifecycle.WithRetry(1, 2*time.Second, time.Second),
		`WithRequestHeaders("Cookie")`:        lifecycle.WithRequestHeaders("X-Ok", "cookie"),
		`WithRequestHeaders("Authorization")`: lifecycle.WithRequestHeaders("authorization"),
		`WithErrorHandler(nil)`:               lifecycle.WithErrorHandler(nil),
		`WithUnconfirmedTimeout(-1s)`:         lifecycle.WithUnconfirmedTimeout(-time.Second),
		`WithUnconfirmedTimeout(1ns)`:         lifecycle.WithUnconfirmedTimeout(1),
		`WithRotationGrace(2h0m0s)`:           lifecycle.WithRotationGrace(2 * time.Hour),
		`WithRequestSummary(nil)`:             lifecycle.WithRequestSummary(nil),
		`WithSkipper(nil)`:                    lifecycle.WithSkipper(nil),
		`WithCrossSite(nil)`:                  lifecycle.WithCrossSite(nil),
	} {
		if _, err := lifecycle.NewStore(rdb, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := lifecycle.NewStore(nil); err == nil {
		t.Error("a store without a client")
	}
	store, err := lifecycle.NewStore(rdb, nil, lifecycle.WithPrefix(prefix()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lifecycle.New(store, nil, lifecycle.WithConcurrency(0)); err == nil || !strings.Contains(err.Error(), "WithConcurrency(0)") {
		t.Errorf("New with an impossible value: %v", err)
	}
	if of := reflect.TypeFor[lifecycle.StoreOption](); of.AssignableTo(reflect.TypeFor[lifecycle.ManagerOption]()) {
		t.Error("New takes an option of the store")
	}
	if _, err := lifecycle.New(nil); err == nil {
		t.Error("a manager without a store")
	}
}
