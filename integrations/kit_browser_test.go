package integrations

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// browser is a visitor of a server, with a cookie jar. It does not follow redirects.
type browser struct {
	t      testing.TB
	server string // the URL of its root
	jar    *cookiejar.Jar
	c      *http.Client
}

func newBrowser(t testing.TB, s *httptest.Server) *browser {
	t.Helper()
	c := s.Client() // it accepts the server's certificate
	return browserOf(t, s.URL, c.Transport)
}

func browserOf(t testing.TB, server string, transport http.RoundTripper) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, server: server, jar: jar, c: &http.Client{
		Jar:           jar,
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is a response.
type page struct {
	status int
	body   string
	header http.Header
	proto  string
	sent   []*http.Cookie // that the response sets
}

// get requests a page. header is a list of names and values.
func (b *browser) get(path string, header ...string) page {
	b.t.Helper()
	return b.send(http.MethodGet, path, nil, header...)
}

// post submits a form.
func (b *browser) post(path string, form url.Values, header ...string) page {
	b.t.Helper()
	return b.send(http.MethodPost, path, form, header...)
}

func (b *browser) send(method, path string, form url.Values, header ...string) page {
	b.t.Helper()
	resp := b.open(method, path, form, header...)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{resp.StatusCode, string(text), resp.Header, resp.Proto, resp.Cookies()}
}

// open returns a response whose body has not been read.
func (b *browser) open(method, path string, form url.Values, header ...string) *http.Response {
	b.t.Helper()
	r, err := http.NewRequestWithContext(redistest.Within(b.t), method, b.server+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := b.c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

// ok requests a page and returns the body. It fails the test unless the status is 200.
func (b *browser) ok(path string) string {
	b.t.Helper()
	p := b.get(path)
	if p.status != http.StatusOK {
		b.t.Fatalf("GET %s: %d %s", path, p.status, p.body)
	}
	return p.body
}

// cookie returns the value of a cookie that the browser has, "" if it has none.
func (b *browser) cookie(name string) string {
	b.t.Helper()
	u, err := url.Parse(b.server + "/")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}
