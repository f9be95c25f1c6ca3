package suite_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// browser is a visitor with a real cookie jar, who sends requests to a real server. All
// host names lead to this server.
type browser struct {
	t   testing.TB
	jar *cookiejar.Jar
	c   http.Client
}

// serve starts a server for the app. The server stops when the test ends.
func (a *app) serve() *httptest.Server {
	s := httptest.NewServer(a.router)
	a.t.Cleanup(s.Close)
	return s
}

func newBrowser(t testing.TB, s *httptest.Server) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: t, jar: jar, c: http.Client{Jar: jar, Transport: transport}}
}

// page is a response.
type page struct {
	status  int
	body    string
	cookies []*http.Cookie
}

// get requests a page of example.com, or of another host if at is a whole URL.
func (b *browser) get(at string, header ...string) page {
	b.t.Helper()
	return b.send(http.MethodGet, at, header...)
}

func (b *browser) send(method, at string, header ...string) page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(redistest.Within(b.t), method, resolve(b.t, at).String(), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := b.c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{resp.StatusCode, string(text), resp.Cookies()}
}

// ok requests a page and returns the body. It fails the test unless the status is 200.
func (b *browser) ok(at string) string {
	b.t.Helper()
	p := b.get(at)
	if p.status != http.StatusOK {
		b.t.Fatalf("GET %s: %d %s", at, p.status, p.body)
	}
	return p.body
}

// has returns the values of the cookies "session" that the browser sends to a page.
func (b *browser) has(at string) (values []string) {
	b.t.Helper()
	for _, c := range b.jar.Cookies(resolve(b.t, at)) {
		if c.Name == "session" {
			values = append(values, c.Value)
		}
	}
	return values
}

// put gives the browser a cookie, as if the page had set it.
func (b *browser) put(at string, c http.Cookie) {
	b.t.Helper()
	b.jar.SetCookies(resolve(b.t, at), []*http.Cookie{&c})
}

func resolve(t testing.TB, at string) *url.URL {
	t.Helper()
	base := url.URL{Scheme: "http", Host: "example.com"}
	u, err := base.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
