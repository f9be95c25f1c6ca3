package suite_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// cross returns the headers of a request that a page of another site makes a browser send.
func cross(mode, dest string) []string {
	return []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", mode, "Sec-Fetch-Dest", dest}
}

// A page of another site makes a browser send a request. The browser leaves out the Lax
// cookie of the visitor. In such a request no session begins, and no cookie is set or
// removed, whatever the handler does. So the visitor keeps the cookie.
func TestForeignRequests(t *testing.T) {
	t.Parallel()
	preflight := []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "POST"}
	for name, c := range map[string]struct {
		method string
		header []string
		begins bool // a session may begin
	}{
		"a form":                   {http.MethodPost, cross("navigate", "document"), false},
		"fetch":                    {http.MethodPost, cross("no-cors", "empty"), false},
		"fetch with CORS":          {http.MethodGet, cross("cors", "empty"), false},
		"an image":                 {http.MethodGet, cross("no-cors", "image"), false},
		"a frame":                  {http.MethodGet, cross("navigate", "iframe"), false},
		"a script":                 {http.MethodGet, cross("no-cors", "script"), false},
		"HEAD":                     {http.MethodHead, cross("no-cors", "empty"), false},
		"a preflight":              {http.MethodOptions, preflight, false},
		"a preflight of this site": {http.MethodOptions, append([]string{"Sec-Fetch-Site", "same-origin"}, preflight...), false},
		"a link":                   {http.MethodGet, cross("navigate", "document"), true},
		"a link, no destination":   {http.MethodGet, cross("navigate", ""), true},
		"this origin":              {http.MethodPost, []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, true},
		"this site":                {http.MethodPost, []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate"}, true},
		"typed in":                 {http.MethodGet, []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, true},
		"an old browser":           {http.MethodPost, nil, true},
		"OPTIONS":                  {http.MethodOptions, nil, true},
		"another origin":           {http.MethodPost, []string{"Origin", "http://evil.example"}, false},
		"another owner":            {http.MethodPost, []string{"Origin", "https://example.com.evil.example"}, false},
		"another of a suffix":      {http.MethodPost, []string{"Origin", "https://example.net"}, false},
		"a subdomain":              {http.MethodPost, []string{"Origin", "https://app.example.com:8443"}, true},
		"an opaque origin":         {http.MethodPost, []string{"Origin", "null"}, true},
		"an app":                   {http.MethodPost, []string{"Origin", "capacitor://localhost"}, true},
		"behind a proxy":           {http.MethodPost, []string{"Origin", "https://shop.example", "X-Forwarded-Host", "shop.example"}, true},
		"behind two proxies":       {http.MethodPost, []string{"Origin", "https://shop.example", "X-Forwarded-Host", "shop.example, inner.local"}, true},
		"GET with an origin":       {http.MethodGet, []string{"Origin", "https://evil.example"}, true},
	} {
		for _, lazy := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var opts []lifecycle.Option
				if lazy {
					opts = append(opts, lifecycle.WithLazyCreation())
				}
				a := newApp(t, shared(t), redistest.Prefix(), opts...)
				a.acting()
				for _, what := range actions {
					b := newBrowser(t, a.serve())
					got := b.send(c.method, "/do/"+what, c.header...)
					begins := c.begins && (!lazy || what == "save")
					switch {
					case begins && what != "destroy" && what != "logout" && len(b.has("/")) != 1:
						t.Errorf("%s: no cookie; %s", what, got.body)
					case !c.begins && len(got.cookies) > 0:
						t.Errorf("%s: cookies %v", what, got.cookies)
					}
					if n := len(a.created); begins != (n == 1) {
						t.Errorf("%s: %d sessions began", what, n)
					}
					for len(a.created) > 0 {
						<-a.created
					}
				}
			})
		}
	}
}

// A visitor follows a link on another site. The browser leaves out a Strict cookie. So no
// session begins by itself, which would replace the visitor's cookie. A page that saves
// begins a session.
func TestForeignLinkToAStrictCookie(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.store.Options(sessions.Options{SameSite: http.SameSiteStrictMode})
	a.acting()
	link := cross("navigate", "document")
	b := newBrowser(t, a.serve())
	if got := b.get("/do/nothing", link...); got.status != http.StatusOK || len(got.cookies) != 0 {
		t.Errorf("a link: %+v", got)
	}
	if got := b.get("/do/save", link...); got.status != http.StatusOK || len(got.cookies) != 1 {
		t.Errorf("a page that saves: %+v", got)
	}
	if got := b.get("/do/nothing"); got.status != http.StatusOK || got.body == "" {
		t.Errorf("the next page: %+v", got)
	}
}

// A request that another site has sent has no session. All calls that need one return
// ErrSessionWithheld, for which errors.Is(err, ErrNoSession) is true as well.
func TestWithheldSession(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	asked := false
	a.router.POST("/form", lifecycle.Handler(func(c *lifecycle.Context) {
		asked = true
		if c.Session() != nil {
			t.Error("there is a session")
		}
		for what, err := range map[string]error{
			"save": save(c, "k", "v"), "rotate": c.RotateSession(), "hook": register(c, nothing),
		} {
			if !errors.Is(err, lifecycle.ErrSessionWithheld) || !errors.Is(err, lifecycle.ErrNoSession) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}))
	b := newBrowser(t, a.serve())
	b.send(http.MethodPost, "/form", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	if !asked {
		t.Error("the handler was not called")
	}
}

// A request from another site begins a session if the cookie is meant for other sites, or
// if the application says with WithCrossSite that it expects the request. A preflight
// never begins one.
func TestForeignRequestsThatAreMeant(t *testing.T) {
	t.Parallel()
	form := cross("navigate", "document")
	none := newApp(t, shared(t), redistest.Prefix())
	none.store.Options(sessions.Options{SameSite: http.SameSiteNoneMode})
	meant := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithCrossSite(func(c *gin.Context) bool { return c.FullPath() == "/do/:what" }))
	meant.router.POST("/other", func(*gin.Context) {})
	for _, a := range []*app{none, meant} {
		a.acting()
		b := newBrowser(t, a.serve())
		if got := b.send(http.MethodPost, "/do/save", form...); got.status != http.StatusOK || len(got.cookies) != 1 {
			t.Errorf("a form of another site: %+v", got)
		}
		if got := newBrowser(t, a.serve()).send(http.MethodOptions, "/do/save", append(form, "Origin", "https://a.example", "Access-Control-Request-Method", "PUT")...); len(got.cookies) != 0 {
			t.Errorf("a preflight set cookies %v", got.cookies)
		}
	}
	if got := newBrowser(t, meant.serve()).send(http.MethodPost, "/other", form...); len(got.cookies) != 0 {
		t.Errorf("a page without WithCrossSite set cookies %v", got.cookies)
	}
}
