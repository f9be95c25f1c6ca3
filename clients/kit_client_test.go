package clients

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"testing"
)

// client is an HTTP client with cookies of its own, for what takes no browser.
type client struct {
	t    testing.TB
	http *http.Client
}

// answer is what a client gets.
type answer struct {
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

// get requests a page, whatever its status.
func (c *client) get(url string) answer {
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
	return answer{c.t, string(body), resp.Header}
}

// who is who the visitor is on the page that came.
func (a answer) who() who { a.t.Helper(); return whoIs(a.t, a.body) }

// tokens are the values of the session's cookie that the answer sets, "" for one that
// takes it away.
func (a answer) tokens() []string {
	var values []string
	for _, line := range a.header.Values("Set-Cookie") {
		if value, ok := strings.CutPrefix(line, "session="); ok {
			value, _, _ = strings.Cut(value, ";")
			values = append(values, value)
		}
	}
	return values
}

// list returns the elements of a header's lists, sorted.
func (a answer) list(name string) []string {
	elements := strings.Split(strings.Join(a.header.Values(name), ","), ",")
	for i := range elements {
		elements[i] = strings.TrimSpace(elements[i])
	}
	slices.Sort(elements)
	return slices.DeleteFunc(slices.Compact(elements), func(e string) bool { return e == "" })
}
