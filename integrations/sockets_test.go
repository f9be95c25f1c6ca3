package integrations

import (
	"context"
	"net/http"
	"strings"
	"testing"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// gorilla/websocket writes a header of its own: the application hands it the session's cookie.
func TestWithGorillaWebSocket(t *testing.T) {
	t.Parallel()
	upgrader := new(gorilla.Upgrader)
	testSockets(t, library{
		accept: func(c *lifecycle.Context) (socket, error) {
			ws, err := upgrader.Upgrade(c.Writer, c.Request, http.Header{"Set-Cookie": c.Writer.Header()["Set-Cookie"]})
			return gorillaSocket{ws}, err
		},
		dial: func(b *browser, path string) socket {
			b.t.Helper()
			ws, resp, err := (&gorilla.Dialer{Jar: b.jar}).DialContext(redistest.Within(b.t), "ws"+strings.TrimPrefix(b.server, "http")+path, nil)
			if err != nil {
				b.t.Fatal(err)
			}
			_ = resp.Body.Close()
			b.t.Cleanup(func() { _ = ws.Close() })
			return gorillaSocket{ws}
		},
	})
}

// coder/websocket sends the header of the response, and the cookie with it.
func TestWithCoderWebSocket(t *testing.T) {
	t.Parallel()
	testSockets(t, library{
		accept: func(c *lifecycle.Context) (socket, error) {
			ws, err := coder.Accept(c.Writer, c.Request, nil)
			return coderSocket{ws, context.WithoutCancel(c.Request.Context())}, err
		},
		dial: func(b *browser, path string) socket {
			b.t.Helper()
			ctx := redistest.Within(b.t)
			ws, resp, err := coder.Dial(ctx, b.server+path, &coder.DialOptions{HTTPClient: b.c})
			if err != nil {
				b.t.Fatal(err)
			}
			if resp.Body != nil {
				_ = resp.Body.Close()
			}
			b.t.Cleanup(func() { _ = ws.CloseNow() })
			return coderSocket{ws, ctx}
		},
	})
}

type gorillaSocket struct{ *gorilla.Conn }

func (s gorillaSocket) read() (string, error) {
	_, text, err := s.ReadMessage()
	return string(text), err
}

func (s gorillaSocket) write(text string) error {
	return s.WriteMessage(gorilla.TextMessage, []byte(text))
}

func (s gorillaSocket) close() { _ = s.Close() }

type coderSocket struct {
	*coder.Conn
	ctx context.Context
}

func (s coderSocket) read() (string, error) {
	_, text, err := s.Read(s.ctx)
	return string(text), err
}

func (s coderSocket) write(text string) error {
	return s.Write(s.ctx, coder.MessageText, []byte(text))
}

func (s coderSocket) close() { _ = s.CloseNow() }

func testSockets(t *testing.T, l library) {
	for name, test := range map[string]func(*testing.T, library){
		"a visitor with a session": testSocketOfVisitor,
		"the first visit":          testSocketFirst,
		"a cookie of the upgrade":  testSocketSetsCookie,
		"beyond the idle timeout":  testSocketLives,
		"a logout elsewhere":       testSocketEnds,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, l)
		})
	}
}

// A socket has the session of its page, and can save and end it.
func testSocketOfVisitor(t *testing.T, l library) {
	s := newSite(t)
	s.use(s.m.Middleware()).serveSockets("/socket", l, nothing)
	b := newBrowser(t, s.serve())
	id := b.ok("/")
	ws := l.dial(b, "/socket")
	if got := ask(t, ws, "id"); got != id {
		t.Errorf("the socket's session is %s, want %s", got, id)
	}
	b.ok("/set?cart=book")
	if got := ask(t, ws, "save seen now"); got != "" {
		t.Errorf("the socket's Save: %s", got)
	}
	if cart, seen := b.ok("/get?key=cart"), b.ok("/get?key=seen"); cart != "book" || seen != "now" {
		t.Errorf("cart %s, seen %s", cart, seen)
	}
	if got := ask(t, ws, "end"); got != "" {
		t.Errorf("the socket's logout: %s", got)
	}
	if x := s.nextEnded(); x.ID != id || x.Get("cart") != "book" {
		t.Errorf("ended: %s, %v", x.ID, x.Values())
	}
	if got := ask(t, ws, "save seen later"); got != lifecycle.ErrHeadersWritten.Error() {
		t.Errorf("a Save after the logout: %s", got)
	}
	s.lives(0)
}

// An upgrade begins no session by itself, because nobody knows whether its cookie reaches the
// client. After the upgrade none can begin.
func testSocketFirst(t *testing.T, l library) {
	s := newSite(t)
	s.use(s.m.Middleware()).serveSockets("/socket", l, nothing)
	b := newBrowser(t, s.serve())
	ws := l.dial(b, "/socket")
	if got := ask(t, ws, "id"); got != "" {
		t.Errorf("the session %s has begun", got)
	}
	if got := ask(t, ws, "save k v"); got != lifecycle.ErrHeadersWritten.Error() {
		t.Errorf("Save: %s", got)
	}
	s.lives(0)
	if got := b.cookie("session"); got != "" {
		t.Errorf("the client has the cookie %s", got)
	}
}

// A session that the application begins before the upgrade, or rotates, has its cookie at the
// client.
func testSocketSetsCookie(t *testing.T, l library) {
	s := newSite(t)
	s.use(s.m.Middleware())
	s.serveSockets("/begin", l, (*lifecycle.Context).Begin)
	s.serveSockets("/rotate", l, (*lifecycle.Context).RotateSession)
	b := newBrowser(t, s.serve())
	ws := l.dial(b, "/begin")
	id, first := ask(t, ws, "id"), b.cookie("session")
	if got := b.ok("/"); id == "" || got != id {
		t.Errorf("the next page has the session %s, want %s", got, id)
	}
	ws = l.dial(b, "/rotate")
	if got := ask(t, ws, "id"); got != id || b.cookie("session") == first {
		t.Errorf("after the rotation the session is %s, want %s", got, id)
	}
	if got := b.ok("/"); got != id {
		t.Errorf("the next page has the session %s, want %s", got, id)
	}
	s.lives(1)
}

// The session lives while the socket's handler runs, and ends by idleness afterwards. So does
// one that began with the socket, whose cookie has not come back.
func testSocketLives(t *testing.T, l library) {
	for name, path := range map[string]string{"that was there": "/socket", "that begins": "/begin"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, lifecycle.WithIdleTimeout(shortIdle))
			s.use(s.m.Middleware())
			s.serveSockets("/socket", l, nothing)
			s.serveSockets("/begin", l, (*lifecycle.Context).Begin)
			b := newBrowser(t, s.serve())
			if path == "/socket" {
				b.ok("/")
				b.ok("/") // the cookie comes back
			}
			ws := l.dial(b, path)
			id := ask(t, ws, "id")
			passes(t)
			s.quiet()
			if got := ask(t, ws, "save k v"); got != "" {
				t.Errorf("Save: %s", got)
			}
			ws.close()
			if x := s.nextEnded(); x.ID != id || x.Reason != lifecycle.ReasonIdleTimeout || x.Get("k") != "v" {
				t.Errorf("ended: %s, %s, %v", x.ID, x.Reason, x.Values())
			}
		})
	}
}

// A socket that waits for the session's context is closed when the session ends, on any instance
// and by any request.
func testSocketEnds(t *testing.T, l library) {
	s := newSite(t)
	s.use(s.m.Middleware())
	s.router.GET("/socket", lifecycle.Handler(func(c *lifecycle.Context) {
		session := c.SessionContext()
		ws, err := l.accept(c)
		if err != nil {
			return
		}
		defer ws.close()
		stop := context.AfterFunc(session, ws.close)
		defer stop()
		for {
			text, err := ws.read()
			if err != nil || ws.write(text) != nil {
				return
			}
		}
	}))
	s.router.GET("/logout", lifecycle.Handler(func(c *lifecycle.Context) { answer(c, c.DestroySession()) }))
	b := newBrowser(t, s.serve())
	id := b.ok("/")
	ws := l.dial(b, "/socket")
	if got := ask(t, ws, "hello"); got != "hello" {
		t.Errorf("the socket answers %s", got)
	}
	b.ok("/logout")
	if text, err := ws.read(); err == nil {
		t.Errorf("after the logout the socket sends %s", text)
	}
	if x := s.nextEnded(); x.ID != id || x.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("ended: %s, %s", x.ID, x.Reason)
	}
}
