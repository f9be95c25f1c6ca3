package integrations

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	gingzip "github.com/gin-contrib/gzip"
	"github.com/gin-contrib/secure"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// A compressed page sets the cookie, and says what it depends on. Only behind the middleware
// does an error page say it too: gzip deletes Vary there.
func TestWithGzip(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"behind", "before"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			compress := gingzip.Gzip(gingzip.DefaultCompression)
			if order == "behind" {
				s.use(s.m.Middleware(), compress)
			} else {
				s.use(compress, s.m.Middleware())
			}
			s.router.GET("/long", lifecycle.Handler(func(c *lifecycle.Context) {
				c.SetCookie("theme", "dark", 0, "/", "", false, true)
				c.Values().Set("read", "yes")
				if err := c.Values().Save(); err != nil {
					answer(c, err)
					return
				}
				c.String(http.StatusOK, idOf(c)+strings.Repeat(" long", 10_000))
			}))
			s.router.GET("/error", func(c *gin.Context) { c.String(http.StatusTeapot, "an error") })
			b := newBrowser(t, s.serve())
			p := b.get("/long", "Accept-Encoding", "gzip")
			r, err := gzip.NewReader(strings.NewReader(p.body))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil || !strings.HasSuffix(string(text), strings.Repeat(" long", 10_000)) {
				t.Fatalf("%d bytes, %v", len(text), err)
			}
			if vary := p.header.Values("Vary"); !slices.Contains(vary, "Cookie") || !slices.Contains(vary, "Accept-Encoding") {
				t.Errorf("Vary: %q", vary)
			}
			if cc := p.header.Get("Cache-Control"); !strings.Contains(cc, "private") {
				t.Errorf("Cache-Control: %s", cc)
			}
			id, _, _ := strings.Cut(string(text), " ")
			if got := b.ok("/"); got != id || b.cookie("theme") != "dark" || b.ok("/get?key=read") != "yes" {
				t.Errorf("the session is %s, want %s", got, id)
			}
			p = newBrowser(t, serve(t, s.router)).get("/error", "Accept-Encoding", "gzip")
			if p.status != http.StatusTeapot || p.body != "an error" || len(p.sent) != 1 || !strings.Contains(p.header.Get("Cache-Control"), "private") {
				t.Errorf("an error page: %d %s %v %v", p.status, p.body, p.sent, p.header)
			}
			if vary := p.header.Values("Vary"); order == "behind" && !slices.Contains(vary, "Cookie") {
				t.Errorf("an error page has Vary: %q", vary)
			}
		})
	}
}

// secure answers what must not be answered otherwise before a session begins: a redirect to
// https costs no session. What it lets through gets a cookie for https.
func TestWithSecure(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if err := s.router.SetTrustedProxies([]string{"127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	s.use(secure.New(secure.Config{
		SSLRedirect:     true,
		SSLProxyHeaders: map[string]string{"X-Forwarded-Proto": "https"},
		STSSeconds:      60,
		FrameDeny:       true,
	}), s.m.Middleware())
	b := newBrowser(t, s.serve())
	p := b.get("/")
	if p.status != http.StatusMovedPermanently || !strings.HasPrefix(p.header.Get("Location"), "https://") || len(p.sent) != 0 {
		t.Errorf("over http: %d %v", p.status, p.header)
	}
	s.lives(0)
	p = b.get("/", "X-Forwarded-Proto", "https")
	if p.status != http.StatusOK || len(p.sent) != 1 || !p.sent[0].Secure {
		t.Errorf("through the proxy: %d %v", p.status, p.sent)
	}
	server := httptest.NewTLSServer(s.router)
	t.Cleanup(server.Close)
	b = newBrowser(t, server)
	p = b.get("/")
	if p.status != http.StatusOK || len(p.sent) != 1 || !p.sent[0].Secure || p.header.Get("X-Frame-Options") != "DENY" || p.header.Get("Strict-Transport-Security") == "" {
		t.Errorf("over https: %d %v %v", p.status, p.sent, p.header)
	}
	if got := b.ok("/"); got != p.body {
		t.Errorf("the session is %s, want %s", got, p.body)
	}
}
