package docs

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// client does what curl does. Cookies are kept by the name of their file.
type client struct {
	address string // in the place of localhost:8080
	jars    map[string]http.CookieJar
}

// curl sends a request and returns the lines of the body.
func (c *client) curl(t *testing.T, args []string) ([]string, error) {
	t.Helper()
	method, form, target, send, keep := "", "", "", "", ""
	for ; len(args) > 0; args = args[1:] {
		into := map[string]*string{"-X": &method, "-d": &form, "-b": &send, "-c": &keep}[args[0]]
		switch {
		case into != nil && len(args) > 1:
			*into = args[1]
			args = args[1:]
		case strings.HasPrefix(args[0], "-") || target != "":
			return nil, fmt.Errorf("the test does not know curl's %q", args)
		default:
			target = args[0]
		}
	}
	if method == "" && form != "" {
		method = http.MethodPost
	}
	u, err := url.Parse("http://" + strings.TrimPrefix(target, "http://"))
	if err != nil {
		return nil, err
	}
	if u.Host != "localhost:8080" {
		return nil, fmt.Errorf("the program is at localhost:8080, not at %s", u.Host)
	}
	u.Host = c.address
	r, err := http.NewRequestWithContext(t.Context(), method, u.String(), strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if send != "" {
		for _, cookie := range c.jar(send).Cookies(u) {
			r.AddCookie(cookie)
		}
	}
	response, err := c.connect(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if keep != "" {
		c.jar(keep).SetCookies(u, response.Cookies())
	}
	if len(body) == 0 {
		return nil, nil
	}
	return strings.Split(strings.TrimSuffix(string(body), "\n"), "\n"), nil
}

// connect sends a request, again as long as nobody listens: a program says that it serves
// a moment before it does.
func (c *client) connect(r *http.Request) (*http.Response, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	var response *http.Response
	var err error
	_ = redistest.Poll(patience, func() bool { // if nobody ever listens, err says so
		response, err = transport.RoundTrip(r) //nolint:bodyclose // the caller closes it
		return !errors.As(err, new(*net.OpError))
	})
	return response, err
}

func (c *client) jar(file string) http.CookieJar {
	if c.jars[file] == nil {
		c.jars[file], _ = cookiejar.New(nil) // it returns no error
	}
	return c.jars[file]
}
