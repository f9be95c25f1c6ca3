package clients

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// patience is how long a test waits for anything at most.
const patience = redistest.Patience

// The hosts that tests use. For a browser the first two are the same site, and the third is
// another one.
const (
	shopHost = "shop.example"
	appHost  = "app.shop.example"
	evilHost = "evil.example"
)

// shop is an application behind lifecycle's middleware, and the server on which it runs. Each
// page without a route of its own shows who the visitor is.
type shop struct {
	t       testing.TB
	store   *lifecycle.Store
	manager *lifecycle.Manager
	router  *gin.Engine

	// gate, if it is not nil, is called with each request before the application gets it. It may
	// block.
	gate func(r *http.Request)

	server *httptest.Server

	mu        sync.Mutex
	created   []string // IDs of the sessions that have begun
	exchanges []exchange
}

// exchange is a request that the server got, and the header of its response.
type exchange struct {
	Method, Path string
	Cookie       string      // of the request
	Site         string      // Sec-Fetch-Site of the request
	Header       http.Header // of the response
}

// setCookies returns the Set-Cookie lines of the response.
func (e exchange) setCookies() []string { return e.Header.Values("Set-Cookie") }

// newShop makes a shop. The test adds routes to it and then calls listen. The shop shuts down
// with the test.
func newShop(t testing.TB, opts ...lifecycle.Option) *shop {
	t.Helper()
	s := &shop{t: t, router: gin.New()}
	rdb := redistest.Client(t, redistest.Shared(t))
	opts = slices.Concat([]lifecycle.Option{
		lifecycle.WithPrefix(redistest.Prefix()),
		lifecycle.WithBuckets(8),
		lifecycle.WithLogger(slog.New(slog.NewTextHandler(t.Output(), nil))),
	}, opts)
	var err error
	if s.store, err = lifecycle.NewStore(rdb, opts...); err != nil {
		t.Fatal(err)
	}
	if s.manager, err = lifecycle.New(s.store); err != nil {
		t.Fatal(err)
	}
	s.manager.OnSessionCreated(func(_ context.Context, begun *lifecycle.Session) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.created = append(s.created, begun.ID)
		return nil
	})
	t.Cleanup(func() {
		if err := s.manager.Shutdown(redistest.Within(t)); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	s.router.Use(s.manager.Middleware())
	s.router.NoRoute(lifecycle.Handler(page))
	return s
}

// none is what a page shows instead of a session or a user. No ID begins with it.
const none = "(none)"

// page shows who the visitor is. whoIs reads it.
func page(c *lifecycle.Context) {
	id, user := none, any(none)
	if s := c.Session(); s != nil {
		id = s.ID
		if u := sessions.Default(c.Context).Get("user"); u != nil {
			user = u
		}
	}
	c.Data(http.StatusOK, "text/html; charset=utf-8", fmt.Appendf(nil, "<!doctype html><title>shop</title><body>%s %v", id, user))
}

// who is what a page shows about the visitor: the session's ID and the user, "" for none.
type who struct{ ID, User string }

// whoIs reads a page of the shop, its source or its text.
func whoIs(t testing.TB, page string) who {
	t.Helper()
	text := page
	if _, after, ok := strings.Cut(page, "<body>"); ok {
		text = after
	}
	f := strings.Fields(text)
	if len(f) != 2 {
		t.Fatalf("this is no page of the shop: %q", page)
	}
	return who{strings.TrimPrefix(f[0], none), strings.TrimPrefix(f[1], none)}
}

// saves makes a POST of path log the visitor in as alice, with these options for the session's
// cookie. before runs first.
func (s *shop) saves(path string, o sessions.Options, before ...func(c *lifecycle.Context) error) {
	s.posts(path, append(before, func(c *lifecycle.Context) error {
		session := sessions.Default(c.Context)
		session.Set("user", "alice")
		session.Options(o)
		return session.Save()
	})...)
}

// login makes a POST of path log the visitor in as alice, with the store's options for the
// cookie and a new secret.
func (s *shop) login(path string) {
	s.posts(path, rotates, func(c *lifecycle.Context) error {
		session := sessions.Default(c.Context)
		session.Set("user", "alice")
		return session.Save()
	})
}

// posts makes a POST of path do something, and then show who the visitor is.
func (s *shop) posts(path string, do ...func(c *lifecycle.Context) error) {
	s.router.POST(path, lifecycle.Handler(func(c *lifecycle.Context) {
		for _, f := range do {
			if err := f(c); err != nil {
				_ = c.AbortWithError(http.StatusConflict, err) // it returns err again
				return
			}
		}
		page(c)
	}))
}

// rotates gives the session, if there is one, a new secret, as every login should.
func rotates(c *lifecycle.Context) error {
	if err := c.RotateSession(); err != nil && !errors.Is(err, lifecycle.ErrNoSession) {
		return err
	}
	return nil
}

// listen starts the server. The shop's routes must be there.
func (s *shop) listen() { s.server = serve(s.t, s, false) }

// listenTLS starts the server for HTTPS.
func (s *shop) listenTLS() { s.server = serve(s.t, s, true) }

// ServeHTTP serves a request and notes the exchange.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/favicon.ico" { // browsers request it at any time
		w.WriteHeader(http.StatusNoContent)
		return
	}
	seen := &responseTap{ResponseWriter: w}
	e := exchange{Method: r.Method, Path: r.URL.Path, Cookie: r.Header.Get("Cookie"), Site: r.Header.Get("Sec-Fetch-Site")}
	defer func() {
		e.Header = seen.header
		s.mu.Lock()
		defer s.mu.Unlock()
		s.exchanges = append(s.exchanges, e)
	}()
	if s.gate != nil {
		s.gate(r)
	}
	if strings.HasSuffix(r.URL.Path, staticPage) {
		seen.Header().Set("Cache-Control", anyoneMay)
		_, _ = fmt.Fprint(seen, "<!doctype html><title>static</title><body>"+none+" "+none)
		return
	}
	s.router.ServeHTTP(seen, r)
}

// anyoneMay is the Cache-Control of a page that is the same for everybody.
const anyoneMay = "public, max-age=60"

// staticPage is the end of the paths of static pages, which every cache may keep. They do not
// go through the middleware.
const staticPage = "/static"

// url returns the address of a page of the shop.
func (s *shop) url(path string) string { return urlOf(s.server, shopHost, path) }

// sessions returns the IDs of the sessions that have begun.
func (s *shop) sessions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.created)
}

// wantSessions fails the test unless n sessions have begun so far.
func (s *shop) wantSessions(n int) {
	s.t.Helper()
	if all := s.sessions(); len(all) != n {
		s.t.Errorf("%d sessions have begun, want %d: %v", len(all), n, all)
	}
}

// got waits until the shop has responded to n requests of this method and path, and returns
// them.
func (s *shop) got(n int, method, path string) []exchange {
	s.t.Helper()
	var found []exchange
	redistest.Eventually(s.t, fmt.Sprintf("%d of %s %s", n, method, path), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		found = slices.Clone(s.exchanges)
		found = slices.DeleteFunc(found, func(e exchange) bool { return e.Method != method || e.Path != path })
		return len(found) >= n
	})
	return found
}
