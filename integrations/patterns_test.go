package integrations

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	gorilla "github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// newShop makes the shop with these options, as the README wires an application.
func newShop(t *testing.T, opts ...lifecycle.Option) *site {
	t.Helper()
	s := newSite(t, opts...)
	s.router.Use(sessions.Sessions("session", s.store), s.m.Middleware())
	shopRoutes(s.router)
	return s
}

// login logs a user in, and returns the response.
func login(b *browser, user string, more ...string) page {
	b.t.Helper()
	b.ok("/captcha?solution=4711")
	form := url.Values{"user": {user}, "captcha": {"4711"}}
	for _, field := range more {
		form.Set(field, "yes")
	}
	p := b.post("/login", form)
	if p.status != http.StatusSeeOther || p.header.Get("Location") != "/me" {
		b.t.Fatalf("the login: %d %s %s", p.status, p.header.Get("Location"), p.body)
	}
	return p
}

// A login as with a cookie store: the user is a value of the session.
func TestPatternLogin(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	server := s.serve()
	ann, bob := newBrowser(t, server), newBrowser(t, server)
	if p := ann.get("/me"); p.status != http.StatusSeeOther || p.header.Get("Location") != "/login" {
		t.Errorf("before the login: %d", p.status)
	}
	login(ann, "ann")
	login(bob, "bob")
	for b, want := range map[*browser]string{ann: "ann", bob: "bob"} {
		if got := b.ok("/me"); got != want {
			t.Errorf("the user is %s, want %s", got, want)
		}
	}
	s.lives(2)
}

// A captcha's solution is in the session, and good once.
func TestPatternCaptcha(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	b := newBrowser(t, s.serve())
	try := func(solution, want string) {
		t.Helper()
		p := b.post("/login", url.Values{"user": {"ann"}, "captcha": {solution}})
		if got := p.header.Get("Location"); p.status != http.StatusSeeOther || got != want {
			t.Errorf("the solution %q: %d %s", solution, p.status, got)
		}
	}
	try("", "/cart")
	b.ok("/captcha?solution=1111")
	try("2222", "/cart")
	try("1111", "/cart") // it is used up
	b.ok("/captcha?solution=3333")
	try("3333", "/me")
	try("3333", "/cart")
	if got := b.ok("/cart"); got != `{"flashes":["wrong captcha","wrong captcha","wrong captcha","wrong captcha"],"last":null}` {
		t.Errorf("the messages are %s", got)
	}
}

// A flash is shown once, on the page after the redirect. Those of forms that were sent at the
// same time are all shown.
func TestPatternFlash(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	b := newBrowser(t, s.serve())
	b.post("/cart", url.Values{"item": {"book"}})
	if got := b.ok("/cart"); got != `{"flashes":["added book"],"last":"book"}` {
		t.Errorf("the page shows %s", got)
	}
	if got := b.ok("/cart"); got != `{"flashes":null,"last":"book"}` {
		t.Errorf("later the page shows %s", got)
	}
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() { b.post("/cart", url.Values{"item": {fmt.Sprintf("pen%d", i)}}) })
	}
	wg.Wait()
	got := b.ok("/cart")
	for i := range 10 {
		if n := strings.Count(got, fmt.Sprintf(`"added pen%d"`, i)); n != 1 {
			t.Errorf("the page shows %s", got)
		}
	}
}

// "Remember me" for seven days: cookie and session of this visitor live for a week from the last
// visit, whatever the timeouts of the others.
func TestPatternRememberMe(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	server := s.serve()
	ann, bob := newBrowser(t, server), newBrowser(t, server)
	p := login(ann, "ann", "remember")
	if len(p.sent) != 1 || p.sent[0].MaxAge != int(week.Seconds()) {
		t.Errorf("the cookie of the remembered visitor: %v", p.sent)
	}
	login(bob, "bob")
	ann.ok("/me")
	bob.ok("/me")
	check := func() {
		t.Helper()
		for x, err := range s.m.All(redistest.Within(t)) {
			if err != nil {
				t.Fatal(err)
			}
			left := x.ExpiresAt.Sub(x.LastSeenAt)
			if remembered := left > week-time.Minute && left <= week; remembered != (x.Get("user") == "ann") {
				t.Errorf("%v's session lives for %v", x.Get("user"), left)
			}
		}
	}
	check()
	ann.post("/cart", url.Values{"item": {"book"}}) // a Save leaves that as it is
	bob.post("/cart", url.Values{"item": {"pen"}})
	check()
	s.lives(2)
}

// Clear and Save are a logout: the destroyed hook runs at once and knows the user. What is set
// afterwards belongs to a new session.
func TestPatternClearAndSave(t *testing.T) {
	t.Parallel()
	for _, flash := range []string{"", "yes"} {
		t.Run("flash "+flash, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, lifecycle.WithEndWhenCleared(), lifecycle.WithLazyCreation())
			b := newBrowser(t, s.serve())
			login(b, "ann")
			before := b.cookie("session")
			b.post("/logout", url.Values{"flash": {flash}})
			if x := s.nextEnded(); x.Reason != lifecycle.ReasonDestroyed || x.Get("user") != "ann" {
				t.Errorf("ended: %s, %v", x.Reason, x.Values())
			}
			if p := b.get("/me"); p.status != http.StatusSeeOther {
				t.Errorf("after the logout: %d %s", p.status, p.body)
			}
			after := b.cookie("session")
			if flash == "" {
				s.lives(0)
				if after != "" {
					t.Errorf("the browser has the cookie %s", after)
				}
				return
			}
			s.lives(1)
			if got := b.ok("/cart"); after == before || got != `{"flashes":["good bye"],"last":null}` {
				t.Errorf("the page shows %s", got)
			}
		})
	}
}

// appSessions is the one function in which an application makes everything that its sessions
// need. The rest of the application sees a gin.HandlerFunc.
func appSessions(rdb *redis.Client, prefix string, ended chan<- *lifecycle.Session) (use gin.HandlerFunc, shutdown func(context.Context) error, err error) {
	store, err := lifecycle.NewStore(rdb, lifecycle.WithPrefix(prefix), lifecycle.WithBuckets(8),
		lifecycle.WithSessionName("shop"), lifecycle.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, nil, err
	}
	store.Options(sessions.Options{Path: "/", HttpOnly: true, MaxAge: 60 * 60})
	manager, err := lifecycle.New(store)
	if err != nil {
		return nil, nil, err
	}
	manager.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		ended <- s
		return nil
	})
	return manager.Middleware(), manager.Shutdown, nil
}

// One HandlerFunc wires everything: store, manager, hooks, gin-contrib's session and the
// middleware. The first request starts the background work.
func TestPatternOneHandlerFunc(t *testing.T) {
	t.Parallel()
	ended := make(chan *lifecycle.Session, 10)
	use, shutdown, err := appSessions(client(t), redistest.Prefix(), ended)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shutdown(redistest.Within(t)); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	router := gin.New()
	router.Use(gin.Recovery(), use)
	shopRoutes(router)
	router.POST("/leave", lifecycle.Handler(func(c *lifecycle.Context) { answer(c, c.DestroySession()) }))
	b := newBrowser(t, serve(t, router))
	login(b, "ann")
	if got := b.ok("/me"); got != "ann" || b.cookie("shop") == "" {
		t.Errorf("the user is %s, the cookie %s", got, b.cookie("shop"))
	}
	if p := b.post("/leave", nil); p.status != http.StatusOK {
		t.Errorf("the logout: %d %s", p.status, p.body)
	}
	if x := redistest.Receive(t, ended); x.Get("user") != "ann" || x.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("ended: %v, %s", x.Get("user"), x.Reason)
	}
}

// A socket saves when its visitor was seen, with the values that it has read when it was opened.
// The carts that other tabs have filled meanwhile are not lost.
func TestPatternSocketBesideTab(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	upgrader := new(gorilla.Upgrader)
	s.router.GET("/presence", func(c *gin.Context) {
		ws, err := upgrader.Upgrade(c.Writer, c.Request, http.Header{"Set-Cookie": c.Writer.Header()["Set-Cookie"]})
		if err != nil {
			return
		}
		defer func() { _ = ws.Close() }()
		session := sessions.Default(c)
		for {
			kind, text, err := ws.ReadMessage()
			if err != nil {
				return
			}
			session.Set("seen", string(text))
			if err := session.Save(); err != nil {
				text = []byte(err.Error())
			}
			if ws.WriteMessage(kind, text) != nil {
				return
			}
		}
	})
	b := newBrowser(t, s.serve())
	login(b, "ann")
	ws, resp, err := (&gorilla.Dialer{Jar: b.jar}).DialContext(redistest.Within(t), "ws"+strings.TrimPrefix(b.server, "http")+"/presence", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	defer func() { _ = ws.Close() }()
	const n = 30
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			if got := ask(t, gorillaSocket{ws}, fmt.Sprint(i)); got != fmt.Sprint(i) {
				t.Errorf("the socket's Save: %s", got)
			}
		}
	})
	wg.Go(func() {
		for i := range n {
			if p := b.post("/cart", url.Values{"item": {fmt.Sprint(i)}}); p.status != http.StatusSeeOther {
				t.Errorf("the tab's Save: %d %s", p.status, p.body)
			}
		}
	})
	wg.Wait()
	for x, err := range s.m.All(redistest.Within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if x.Get(fmt.Sprintf("cart:%d", i)) != 1 {
				t.Errorf("the item %d is lost", i)
			}
		}
		if x.Get("seen") != fmt.Sprint(n-1) || x.Get("user") != "ann" {
			t.Errorf("seen %v, user %v", x.Get("seen"), x.Get("user"))
		}
	}
	s.lives(1)
}
