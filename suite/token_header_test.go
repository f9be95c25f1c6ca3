package suite_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// field is the header field of a client without cookies.
const field = "X-Session"

// client is a client without cookies.
type client struct {
	a     *app
	token string
}

// get requests a page and keeps the token that the response brings.
func (c *client) get(path string, header ...string) *httptest.ResponseRecorder {
	c.a.t.Helper()
	w := c.a.visit(new(visitor), path, append([]string{field, c.token}, header...)...)
	if lines := w.Header()[field]; len(lines) == 1 {
		c.token = lines[0]
	} else if len(lines) > 1 {
		c.a.t.Errorf("%s: the response has the tokens %q", path, lines)
	}
	if lines := w.Header().Values("Set-Cookie"); len(lines) > 0 {
		c.a.t.Errorf("%s: the response to a client without cookies sets %q", path, lines)
	}
	return w
}

func (c *client) ok(path string) string {
	c.a.t.Helper()
	w := c.get(path)
	if w.Code != http.StatusOK {
		c.a.t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// A client without cookies has a session by a header field. Its whole life is as that of a
// browser's session, and no response sets a cookie.
func TestTokenHeader(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithTokenHeader("x-session")).start()
	a.get("/flash", func(c *lifecycle.Context) {
		err := c.RenewSession()
		c.Values().AddFlash("bye")
		a.answer(c, err)
	})
	a.ages()
	for _, first := range []string{"", "new"} {
		c := &client{a, first}
		w := c.get("/")
		id := w.Body.String()
		if id == "" || c.token == first || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("the session is %q, token %q, header %v", id, c.token, w.Header())
		}
		had := c.token
		if w := c.get("/"); w.Body.String() != id || len(w.Header()[field]) > 0 {
			t.Errorf("the session is %s, want %s; header %v", w.Body, id, w.Header())
		}
		c.ok("/set?user=alice")
		c.ok("/age?n=3600")
		c.ok("/rotate")
		if c.token == had {
			t.Error("the rotation has brought no new token")
		}
		if got := c.ok("/get?key=user"); got != "alice" {
			t.Errorf("the user is %s", got)
		}
		if got := (&client{a, had}).ok("/"); got == id {
			t.Error("the token from before the rotation is good")
		}
		next := c.ok("/flash")
		if s := a.nextDestroyed(); s.ID != id || next == id {
			t.Errorf("ended: %s, the session is %s and was %s", s.ID, next, id)
		}
		c.ok("/destroy")
		if a.nextDestroyed(); c.token != "" {
			t.Errorf("after the logout the token is %q", c.token)
		}
	}
}

// One request has one way to bring its token. A token that was issued in the one way is not
// good in the other.
func TestTokenHeaderOrCookie(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithTokenHeader(field))
	mine, v := a.begin()
	c := &client{a, "new"}
	its := c.ok("/")
	w := a.visit(v, "/", field, c.token)
	if w.Body.String() != its || len(w.Header().Values("Set-Cookie")) > 0 {
		t.Errorf("with both, the session is %s, want %s; header %v", w.Body, its, w.Header())
	}
	for what, w := range map[string]*httptest.ResponseRecorder{
		"a cookie's token in the field": a.visit(new(visitor), "/", field, v.cookie[len("session="):]),
		"the field's token in a cookie": a.visit(&visitor{"session=" + c.token}, "/"),
	} {
		if got := w.Body.String(); got == mine || got == its {
			t.Errorf("%s gives session %s", what, got)
		}
	}
	for _, line := range a.visit(v, "/").Header()["Vary"] {
		if line == field {
			return
		}
	}
	t.Error("caches are not told that responses depend on the field")
}

// A request with the field comes from a client that wants a session, whatever site its
// page is from: no other site can make a browser send the field. Without the option the
// field means nothing.
func TestTokenHeaderOfAnotherSite(t *testing.T) {
	t.Parallel()
	foreign := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Origin", "https://app.example"}
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithTokenHeader(field))
	c := &client{a, "new"}
	if w := c.get("/", foreign...); w.Body.String() == "" {
		t.Error("a page of another origin that the application allows gets no session")
	}
	b := newApp(t, shared(t), redistest.Prefix())
	v := new(visitor)
	w := b.visit(v, "/", field, "new")
	if len(w.Header()[field]) > 0 || v.cookie == "" {
		t.Errorf("without the option the response has %v", w.Header())
	}
}

// A cache inside the application keeps the response to a visitor and repeats it for others. No
// token reaches another visitor, in whichever of the two ways it was issued.
func TestAnotherClientsTokenIsDropped(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithTokenHeader(field))
	kept := make(map[string]http.Header)
	a.get("/cached/:who", func(c *lifecycle.Context) {
		who := c.Param("who")
		for k, lines := range kept[who] {
			for _, line := range lines {
				c.Writer.Header().Add(k, line)
			}
		}
		c.String(http.StatusOK, idOf(c))
		if kept[who] == nil {
			kept[who] = c.Writer.Header().Clone()
		}
	})
	(&client{a, "new"}).ok("/cached/field")
	a.ok(new(visitor), "/cached/cookie")
	for _, path := range []string{"/cached/field", "/cached/cookie"} {
		known := &client{a, "new"}
		known.ok("/")
		had := known.token
		if known.ok(path); known.token != had {
			t.Errorf("%s: a client has the token %s, and had %s", path, known.token, had)
		}
		for _, c := range []*client{known, {a, "new"}} {
			if first, again := c.ok(path), c.ok("/"); first != again {
				t.Errorf("%s: a client has session %s, and had %s", path, again, first)
			}
		}
		_, old := a.begin()
		for _, v := range []*visitor{old, new(visitor)} {
			w := a.visit(v, path)
			if got := w.Header()[field]; len(got) > 0 {
				t.Errorf("%s: a browser gets the token %s in the field", path, got)
			}
			if first, again := w.Body.String(), a.ok(v, "/"); first != again {
				t.Errorf("%s: a browser has session %s, and had %s", path, again, first)
			}
		}
	}
}

// The field carries a secret, so neither Redis nor a hook gets it with the first request.
func TestTokenHeaderIsNotKept(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithTokenHeader(field))
	keep := lifecycle.WithRequestHeaders("X-Ok", "x-session")
	_, newStore := lifecycle.NewStore(a.rdb, keep, lifecycle.WithTokenHeader(field))
	_, newManager := lifecycle.New(a.store, keep)
	for name, err := range map[string]error{"NewStore": newStore, "New": newManager} {
		if err == nil || !strings.Contains(err.Error(), name+`: WithRequestHeaders("X-Session")`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := lifecycle.New(a.store, lifecycle.WithRequestHeaders("X-Ok")); err != nil {
		t.Error(err)
	}
}

// It works without the middleware of lifecycle, too.
func TestTokenHeaderOfABareStore(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithTokenHeader(field), lifecycle.WithAbsoluteTimeout(0))
	c := &client{a.bare(), "new"}
	id := c.ok("/set?user=alice")
	if got := c.ok("/get?key=user"); got != "alice" {
		t.Errorf("the user is %s", got)
	}
	c.ok("/destroy")
	if c.token != "" {
		t.Errorf("after the logout of %s the token is %q", id, c.token)
	}
}

// A session that the application has made by gorilla's NewSession has its token in the field, too,
// and no cookie is set.
func TestTokenHeaderOfNewSession(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithTokenHeader(field))
	b := a.bare()
	b.router.GET("/new", func(c *gin.Context) {
		g := gsessions.NewSession(a.store, "session")
		g.Options = &gsessions.Options{Path: "/"}
		g.Values["user"] = "alice"
		if err := g.Save(c.Request, c.Writer); err != nil {
			t.Error(err)
		}
	})
	c := &client{b, "new"}
	if c.ok("/new"); c.token == "new" {
		t.Fatal("the response has no token")
	}
	if got := c.ok("/get?key=user"); got != "alice" {
		t.Errorf("the user is %s", got)
	}
}

// Two managers of one store are on one route. A client with a header field has the session of
// the first one, and it lasts; the other session is withheld.
func TestTokenHeaderOfNestedManagers(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithTokenHeader(field), lifecycle.WithSessionName("site"))
	inner := a.another(lifecycle.WithSessionName("admin"))
	b := a.with(a.m.Middleware(), inner.Middleware())
	b.get("/", func(c *lifecycle.Context) {
		if c.Session() != nil {
			t.Errorf("the second manager has the session %s", idOf(c))
		}
		if err := save(c, "user", "root"); !errors.Is(err, lifecycle.ErrSessionWithheld) {
			t.Errorf("Save of the second session: %v", err)
		}
		c.String(http.StatusOK, idOf(a.m.From(c.Context)))
	})
	for range 2 {
		c := &client{b, "new"}
		id := c.ok("/")
		if again := c.ok("/"); id == "" || again != id {
			t.Errorf("the session is %q, want %q", again, id)
		}
	}
}

// With a field for each of two stores a client has both sessions.
func TestTokenHeaderForEachStore(t *testing.T) {
	t.Parallel()
	d := shared(t)
	a := newApp(t, d, redistest.Prefix(), lifecycle.WithTokenHeader(field), lifecycle.WithSessionName("site"))
	inner := newApp(t, d, redistest.Prefix(), lifecycle.WithTokenHeader("X-Admin"), lifecycle.WithSessionName("admin"))
	b := a.with(a.m.Middleware(), inner.m.Middleware())
	b.get("/", func(c *lifecycle.Context) {
		c.String(http.StatusOK, idOf(a.m.From(c.Context))+" "+idOf(c))
	})
	c := &client{b, "new"}
	first := c.get("/", "X-Admin", "new")
	again := c.get("/", "X-Admin", first.Header().Get("X-Admin"))
	site, admin, _ := strings.Cut(first.Body.String(), " ")
	if site == "" || admin == "" || again.Body.String() != first.Body.String() {
		t.Errorf("the sessions are %q, want %q", again.Body, first.Body)
	}
}
