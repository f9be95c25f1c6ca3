package clients

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"testing"
)

// client is an HTTP client with cookies of its own. Tests use it where they need no browser.
type client struct {
	t    testing.TB
	http *http.Client
}

// response is what a client gets.
type response struct {
	t      testing.TB
	body   string
	header http.Header
}

func newClient(t testing.TB) *client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t: t, http: &http.Client{
		Transport: transport,
		Jar:       jar,
		Timeout:   patience,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}
}

// get requests a page. The status may be anything.
func (c *client) get(url string) response {
	c.t.Helper()
	resp, err := c.http.Get(url)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response{c.t, string(body), resp.Header}
}

// who returns who the visitor is on the page.
func (r response) who() who { r.t.Helper(); return whoIs(r.t, r.body) }

// tokens returns the values of the session's cookie that the response sets. A value is "" if the
// response removes the cookie.
func (r response) tokens() []string {
	var values []string
	for _, line := range r.header.Values("Set-Cookie") {
		if value, ok := strings.CutPrefix(line, "session="); ok {
			value, _, _ = strings.Cut(value, ";")
			values = append(values, value)
		}
	}
	return values
}

// list returns the elements of a header that is a list, sorted.
func (r response) list(name string) []string {
	elements := strings.Split(strings.Join(r.header.Values(name), ","), ",")
	for i := range elements {
		elements[i] = strings.TrimSpace(elements[i])
	}
	slices.Sort(elements)
	return slices.DeleteFunc(slices.Compact(elements), func(e string) bool { return e == "" })
}
