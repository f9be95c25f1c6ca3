package lifecycle_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/tester"
	"github.com/gin-gonic/gin"
	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
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
func (foreignStore) Options(sessions.Options)                                          {}

// The suite that gin-contrib/sessions ships for stores.
func TestConformance(t *testing.T) {
	t.Parallel()
	newStore := func(t *testing.T) sessions.Store {
		s, err := lifecycle.NewStore(redistest.Client(t, redistest.Shared(t)), lifecycle.WithPrefix(prefix()))
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

// A cookie that names no live session exactly never becomes one.
func TestBadCookies(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix())
	id, v := a.begin()
	value := strings.TrimPrefix(v.cookie, "session=")
	_, secret, _ := strings.Cut(value, ".")
	other := strings.Repeat("B", 22-1) + "A"
	gone, dead := a.begin()
	if err := a.m.Destroy(within(t), gone, ""); err != nil {
		t.Fatal(err)
	}
	a.nextDestroyed()
	for name, cookie := range map[string]string{
		"empty":              "session=",
		"ID only":            "session=" + id,
		"no secret":          "session=" + id + ".",
		"another ID":         "session=" + other + "." + secret,
		"another secret":     "session=" + id + "." + strings.Repeat("A", len(secret)),
		"ended":              dead.cookie,
		"too long":           "session=" + value + "A",
		"oversized":          "session=" + strings.Repeat("A", 100_000),
		"glob":               "session=" + strings.Repeat("*", 22) + "." + secret,
		"key separator":      "session=" + strings.Repeat(":", 22) + "." + secret,
		"hash tag":           "session={" + id[2:] + "}." + secret,
		"twice":              v.cookie + "; " + v.cookie,
		"twice, one of them": "session=x; " + v.cookie,
		"quoted newline":     "session=\"" + id[:21] + "\n." + secret + "\"",
	} {
		got := a.ok(&visitor{cookie}, "/")
		if got == "" || got == id || got == other || got == gone {
			t.Errorf("%s: session %q", name, got)
		}
	}
	if got := a.ok(v, "/"); got != id {
		t.Errorf("the good cookie: session %q", got)
	}
	for _, k := range a.keys("*") {
		if strings.ContainsAny(k[len(a.prefix)+4:], "*{}") || strings.Contains(k, other) {
			t.Errorf("key %q", k)
		}
	}
}

func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts  []lifecycle.Option
		store *sessions.Options
		url   string
		want  string // behind the value
	}{
		"default":       {url: "/", want: "; Path=/; HttpOnly; SameSite=Lax"},
		"over TLS":      {url: "https://example.com/", want: "; Path=/; HttpOnly; Secure; SameSite=Lax"},
		"always secure": {opts: []lifecycle.Option{lifecycle.WithSecureCookie(lifecycle.SecureAlways)}, url: "/", want: "; Path=/; HttpOnly; Secure; SameSite=Lax"},
		"never secure":  {opts: []lifecycle.Option{lifecycle.WithSecureCookie(lifecycle.SecureNever)}, url: "https://example.com/", want: "; Path=/; HttpOnly; SameSite=Lax"},
		"store options": {store: &sessions.Options{Path: "/app", Domain: "example.com", Secure: true, SameSite: http.SameSiteStrictMode}, url: "/", want: "; Path=/app; Domain=example.com; Secure; SameSite=Strict"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, redistest.Shared(t), prefix(), c.opts...)
			if c.store != nil {
				a.store.Options(*c.store)
			}
			w := a.visit(new(visitor), c.url)
			lines := w.Header().Values("Set-Cookie")
			if len(lines) != 1 {
				t.Fatalf("cookies: %v", lines)
			}
			if _, attributes, _ := strings.Cut(lines[0], ";"); ";"+attributes != c.want {
				t.Errorf("cookie: %s", lines[0])
			}
		})
	}
}

// One answer sets one cookie, however often the session is saved.
func TestOneSetCookie(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix())
	a.get("/often", func(c *lifecycle.Context) {
		for i := range 3 {
			s := sessions.Default(c.Context)
			s.Set("n", i)
			if err := s.Save(); err != nil {
				t.Error(err)
			}
		}
		if err := c.RotateSession(); err != nil {
			t.Error(err)
		}
	})
	w := a.visit(new(visitor), "/often")
	if lines := w.Header().Values("Set-Cookie"); len(lines) != 1 {
		t.Errorf("cookies: %v", lines)
	}
}

// MaxAge of one session: cookie and idle timeout, kept over requests, re-sent
// with each, and taken back.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix())
	options := func(path string, o sessions.Options) {
		a.get(path, func(c *lifecycle.Context) {
			s := sessions.Default(c.Context)
			s.Options(o)
			a.answer(c, s.Save())
		})
	}
	options("/remember", sessions.Options{Path: "/", MaxAge: 3600, HttpOnly: true})
	options("/forget", sessions.Options{Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	ttl := func(id string) time.Duration {
		d, err := a.rdb.PTTL(within(t), a.key("live:"+id+":*")).Result()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	age := func(w *httptest.ResponseRecorder) int {
		for _, c := range w.Result().Cookies() {
			if c.Name == "session" {
				return c.MaxAge
			}
		}
		return -1
	}
	id, v := a.begin()
	if d := ttl(id); d > 30*time.Minute {
		t.Errorf("time to live at first: %v", d)
	}
	if w := a.visit(v, "/"); age(w) != -1 {
		t.Error("a browser-session cookie is sent again without need")
	}
	old := *v
	if w := a.visit(v, "/remember"); age(w) != 3600 {
		t.Errorf("cookie: %v", w.Header())
	}
	if d := ttl(id); d <= 30*time.Minute || d > time.Hour {
		t.Errorf("time to live when remembered: %v", d)
	}
	for _, url := range []string{"/", "/set?user=alice", "/"} {
		if w := a.visit(v, url); age(w) != 3600 {
			t.Errorf("%s does not renew the cookie: %v", url, w.Header())
		}
	}
	// The cookie from before is the same session, with the record's timeouts.
	if got := a.ok(&old, "/"); got != id {
		t.Errorf("the older cookie: session %q", got)
	}
	if d := ttl(id); d <= 30*time.Minute {
		t.Errorf("the older cookie cut the time to live to %v", d)
	}
	if w := a.visit(v, "/forget"); age(w) != 0 {
		t.Errorf("cookie: %v", w.Header())
	}
	if d := ttl(id); d > 30*time.Minute {
		t.Errorf("time to live when forgotten: %v", d)
	}
	if score := a.rdb.ZScore(within(t), a.key("due"), id).Val(); time.Until(time.UnixMilli(int64(score))) > 31*time.Minute {
		t.Error("the due entry is no lower bound")
	}
}

// A shorter idle timeout set by a save is kept to.
func TestShorterIdleTimeout(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix())
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
	a := newApp(t, redistest.Shared(t), prefix(), lifecycle.WithIdleTimeout(300*time.Millisecond))
	id, v := a.begin()
	first := a.rdb.ZScore(within(t), a.key("due"), id).Val()
	eventually(t, "its due entry moves", func() bool {
		if got := a.ok(v, "/"); got != id {
			t.Fatalf("the session is %q", got)
		}
		return a.rdb.ZScore(within(t), a.key("due"), id).Val() > first
	})
	s := a.nextDestroyed()
	if s.ID != id || s.EndedAt.UnixMilli() <= int64(first) || s.EndedAt.Sub(s.LastSeenAt) != 300*time.Millisecond {
		t.Errorf("ended: %s at %v, seen at %v", s.ID, s.EndedAt, s.LastSeenAt)
	}
}

// A forged timeout in the token does not prolong a session.
func TestForgedTimeouts(t *testing.T) {
	t.Parallel()
	p := prefix()
	addr := redistest.Shared(t)
	long := newApp(t, addr, p, lifecycle.WithIdleTimeout(24*time.Hour), lifecycle.WithAbsoluteTimeout(0))
	short := newApp(t, addr, p)
	id, v := short.begin()
	_, generous := long.begin()
	// The last characters of a token are its timeouts.
	const tail = 15
	forged := &visitor{v.cookie[:len(v.cookie)-tail] + generous.cookie[len(generous.cookie)-tail:]}
	if got := short.ok(forged, "/"); got != id {
		t.Fatalf("session %q", got)
	}
	if d := short.rdb.PTTL(within(t), short.key("live:"+id+":*")).Val(); d > 30*time.Minute {
		t.Errorf("time to live %v", d)
	}
	if forged.cookie == v.cookie {
		return
	}
	t.Errorf("the cookie was not put right: %s, want %s", forged.cookie, v.cookie)
}

// Nor does it if the session's time is over in this moment.
func TestForgedTimeoutsAtTheDeadline(t *testing.T) {
	t.Parallel()
	p := prefix()
	addr := redistest.Shared(t)
	long := newApp(t, addr, p, lifecycle.WithIdleTimeout(24*time.Hour), lifecycle.WithAbsoluteTimeout(0))
	short := newApp(t, addr, p, lifecycle.WithAbsoluteTimeout(200*time.Millisecond))
	_, generous := long.begin()
	const tail = 15
	for range 5 {
		id, v := short.begin()
		forged := v.cookie[:len(v.cookie)-tail] + generous.cookie[len(generous.cookie)-tail:]
		for short.ok(&visitor{forged}, "/") == id {
		}
		for ended := ""; ended != id; { // the last visit began one of its own
			var s *lifecycle.Session
			select {
			case s = <-short.destroyed:
			case s = <-long.destroyed:
			case <-time.After(patience):
				t.Fatal("the session did not end")
			}
			if ended = s.ID; s.Reason != lifecycle.ReasonAbsoluteTimeout {
				t.Errorf("ended: %s, %s", s.ID, s.Reason)
			}
		}
	}
}

// A cookie that moves to another path takes the old one away, which would
// otherwise come along with it and make it worthless.
func TestChangedPath(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix())
	a.get("/app/move", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		s.Options(sessions.Options{Path: "/app"})
		if err := s.Save(); err != nil {
			t.Error(err)
		}
		a.answer(c, c.RotateSession())
	})
	a.get("/app/id", func(c *lifecycle.Context) { c.String(http.StatusOK, idOf(c)) })
	server := httptest.NewServer(a.router)
	defer server.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	get := func(path string) string {
		resp, err := browser.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	id := get("/")
	for _, path := range []string{"/app/move", "/app/id", "/app/id", "/app/move", "/app/id"} {
		if got := get(path); got != id {
			t.Errorf("%s: session %q, was %q", path, got, id)
		}
	}
}

// A MaxAge without sense is cut, and harms nothing.
func TestHugeMaxAge(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix(), lifecycle.WithAbsoluteTimeout(0))
	ages := []int{math.MaxInt, math.MaxInt32 + 1, 100 * 365 * 24 * 3600}
	a.get("/age", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		n, _ := strconv.Atoi(c.Query("n"))
		s.Options(sessions.Options{Path: "/", MaxAge: ages[n]})
		a.answer(c, s.Save())
	})
	for n := range ages {
		id, v := a.begin()
		a.ok(v, fmt.Sprintf("/age?n=%d", n))
		if got := a.ok(v, "/"); got != id {
			t.Errorf("MaxAge %d: session %q", ages[n], got)
		}
		if d := a.rdb.PTTL(within(t), a.key("live:"+id+":*")).Val(); d < 9*365*24*time.Hour {
			t.Errorf("MaxAge %d: time to live %v", ages[n], d)
		}
	}
}

// A session under rotation is found all the same.
func TestGetDuringRotation(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix())
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
	a := newApp(t, redistest.Shared(t), prefix(), lifecycle.WithMaxValuesSize(200))
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
	addr, p := redistest.Shared(t), prefix()
	a := newApp(t, addr, p)
	var failure error
	b := newApp(t, addr, p, lifecycle.WithCodec(lifecycle.JSON), lifecycle.WithErrorHandler(func(c *gin.Context, err error) {
		failure = err
		c.AbortWithStatus(http.StatusTeapot)
	}))
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	record := a.rdb.Get(within(t), a.key("session:"+id)).Val()
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
	if got := a.rdb.Get(within(t), a.key("session:"+id)).Val(); got != record {
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
	a.rdb.SetRange(within(t), a.key("session:"+id), 16, "\xff")
	if w := a.visit(v, "/"); w.Code != http.StatusInternalServerError {
		t.Errorf("a record of an unknown version: %d", w.Code)
	}
}

// Of two requests that save at once the later Save wins, as a whole.
func TestLaterSaveWins(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix())
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
	a := newApp(t, redistest.Shared(t), prefix())
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

func TestRotateAfterTheBody(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix())
	a.get("/late", func(c *lifecycle.Context) {
		c.String(http.StatusOK, "begun")
		if err := c.RotateSession(); !errors.Is(err, lifecycle.ErrHeadersWritten) {
			t.Errorf("rotate: %v", err)
		}
	})
	id, v := a.begin()
	a.ok(v, "/late")
	if got := a.ok(v, "/"); got != id {
		t.Errorf("session %q", got)
	}
}

// The number of buckets is fixed with the first use of a prefix.
func TestBucketMismatch(t *testing.T) {
	t.Parallel()
	addr, p := redistest.Shared(t), prefix()
	newApp(t, addr, p).start()
	b := newApp(t, addr, p, lifecycle.WithBuckets(9))
	if err := b.m.Start(within(t)); !errors.Is(err, lifecycle.ErrBucketMismatch) {
		t.Errorf("start: %v", err)
	}
	if w := b.visit(new(visitor), "/"); w.Code != http.StatusInternalServerError {
		t.Errorf("request: %d", w.Code)
	}
}

func TestOptionErrors(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t, redistest.Shared(t))
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
	if _, err := lifecycle.New(store, lifecycle.WithIdleTimeout(time.Hour)); err == nil || !strings.Contains(err.Error(), "WithIdleTimeout is an option of the store") {
		t.Errorf("New with a store's option: %v", err)
	}
	if _, err := lifecycle.New(nil); err == nil {
		t.Error("a manager without a store")
	}
}
