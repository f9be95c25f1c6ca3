package clients

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// patience bounds every wait. It is no expectation: what is slower than this is
// broken.
const patience = 30 * time.Second

// The hosts that tests use. To a browser the first two are one site and the third is
// another.
const (
	shopHost = "shop.example"
	appHost  = "app.shop.example"
	evilHost = "evil.example"
)

// shop is an application behind lifecycle's middleware, and the server that it runs
// on. Every page that has no route of its own tells who the visitor is.
type shop struct {
	t       testing.TB
	store   *lifecycle.Store
	manager *lifecycle.Manager
	router  *gin.Engine

	// gate, if it is set, may hold requests before the application gets them.
	gate func(r *http.Request)

	server *httptest.Server

	mu        sync.Mutex
	created   []string
	exchanges []exchange
}

// exchange is a request that the server got, and what it answered.
type exchange struct {
	Method, Path string
	Cookie       string      // of the request
	Site         string      // Sec-Fetch-Site of the request
	Header       http.Header // of the answer
}

// setCookies returns the Set-Cookie lines of the answer.
func (e exchange) setCookies() []string { return e.Header.Values("Set-Cookie") }

// newShop makes a shop, which is to get its routes and then to listen. It shuts down
// with the test.
func newShop(t testing.TB, opts ...lifecycle.Option) *shop {
	t.Helper()
	s := &shop{t: t, router: gin.New()}
	rdb := redistest.Client(t, redistest.Shared(t))
	opts = slices.Concat([]lifecycle.Option{
		lifecycle.WithPrefix("t" + strings.ToLower(rand.Text()[:10])),
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
	s.manager.OnSessionCreated(func(_ context.Context, is *lifecycle.Session) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.created = append(s.created, is.ID)
		return nil
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.manager.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	s.router.Use(s.manager.Middleware())
	s.router.NoRoute(lifecycle.Handler(page))
	return s
}

// none stands on a page for no session and for no user. No ID begins with it.
const none = "(none)"

// page tells who the visitor is; whoIs reads it.
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

// who is what a page tells of the visitor: "" for no session and for no user.
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
		t.Fatalf("no page of the shop: %q", page)
	}
	return who{strings.TrimPrefix(f[0], none), strings.TrimPrefix(f[1], none)}
}

// saves makes a POST of path save the session with these options, as a login of the
// visitor named alice does.
func (s *shop) saves(path string, o sessions.Options, before ...func(c *lifecycle.Context) error) {
	s.router.POST(path, lifecycle.Handler(func(c *lifecycle.Context) {
		for _, f := range before {
			if err := f(c); err != nil {
				_ = c.AbortWithError(http.StatusConflict, err)
				return
			}
		}
		session := sessions.Default(c.Context)
		session.Set("user", "alice")
		session.Options(o)
		if err := session.Save(); err != nil {
			_ = c.AbortWithError(http.StatusConflict, err)
			return
		}
		page(c)
	}))
}

// rotates renews the secret, where there is a session, as a login should.
func rotates(c *lifecycle.Context) error {
	if err := c.RotateSession(); err != nil && !errors.Is(err, lifecycle.ErrNoSession) {
		return err
	}
	return nil
}

// login makes a POST of path log the visitor in without options of his own.
func (s *shop) login(path string) {
	s.router.POST(path, lifecycle.Handler(func(c *lifecycle.Context) {
		session := sessions.Default(c.Context)
		session.Set("user", "alice")
		if err := errors.Join(rotates(c), session.Save()); err != nil {
			_ = c.AbortWithError(http.StatusConflict, err)
			return
		}
		page(c)
	}))
}

// listen makes the shop listen. Its routes must be there.
func (s *shop) listen() { s.server = serve(s.t, s, false) }

// listenTLS is listen for HTTPS.
func (s *shop) listenTLS() { s.server = serve(s.t, s, true) }

// ServeHTTP notes the exchange.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/favicon.ico" { // which the browser asks for when it likes
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

// anyoneMay is what applications say of pages that they hold to be the same for all.
const anyoneMay = "public, max-age=60"

// staticPage ends the paths of pages that know nothing of sessions and may be cached by
// everybody.
const staticPage = "/static"

// pages are those of another site, by path.
type pages map[string]string

func (p pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, ok := p[r.URL.Path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, "<!doctype html><title>another site</title><body>"+text)
}

// responseTap keeps the header as it is sent.
type responseTap struct {
	http.ResponseWriter
	header http.Header
}

func (w *responseTap) WriteHeader(status int) {
	if w.header == nil {
		w.header = w.Header().Clone()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseTap) Write(p []byte) (int, error) {
	if w.header == nil {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Flush is what gin asks of every writer.
func (w *responseTap) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// url returns the address of a page of the shop.
func (s *shop) url(path string) string { return urlOf(s.server, shopHost, path) }

// sessions returns the IDs of the sessions that have begun.
func (s *shop) sessions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.created)
}

// got waits for n requests of a method and path to be answered, and returns them.
func (s *shop) got(n int, method, path string) []exchange {
	s.t.Helper()
	var found []exchange
	eventually(s.t, fmt.Sprintf("%d of %s %s", n, method, path), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		found = slices.Clone(s.exchanges)
		found = slices.DeleteFunc(found, func(e exchange) bool { return e.Method != method || e.Path != path })
		return len(found) >= n
	})
	return found
}

// serve serves h on a port of loopback until the test ends.
func serve(t testing.TB, h http.Handler, tls bool) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // browsers leave when they like
	if tls {
		server.StartTLS() // with a certificate of its own
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

// urlOf returns the address of a server's page under one of the host names.
func urlOf(server *httptest.Server, host, path string) string {
	scheme := "http"
	if server.TLS != nil {
		scheme = "https"
	}
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	return scheme + "://" + net.JoinHostPort(host, port) + path
}

// needs skips the test if none of the programs is there, and fails it where all have
// to be; it returns the path of the first that is.
func needs(t testing.TB, programs ...string) string {
	t.Helper()
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	text := programs[0] + " is not installed; `make clients` installs it, or see CONTRIBUTING.md"
	if os.Getenv(redistest.RequireEnv) != "" {
		t.Fatal(text)
	}
	t.Skip(text)
	panic("unreachable")
}

// eventually polls until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	redistest.Eventually(t, what, ok)
}

func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
