package suite_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// acting makes every method of paths under "/do" do what a handler may do to a session.
func acting(a *app) {
	does := map[string]func(c *lifecycle.Context) error{
		"nothing": func(*lifecycle.Context) error { return nil },
		"save":    func(c *lifecycle.Context) error { return save(c, "user", "mallory") },
		"rotate":  func(c *lifecycle.Context) error { return c.RotateSession() },
		"destroy": func(c *lifecycle.Context) error { return c.DestroySession() },
		"logout": func(c *lifecycle.Context) error {
			s := sessions.Default(c.Context)
			s.Options(sessions.Options{MaxAge: -1})
			return s.Save()
		},
	}
	a.router.Any("/do/:what", lifecycle.Handler(func(c *lifecycle.Context) {
		a.answer(c, does[c.Param("what")](c))
	}))
}

var actions = []string{"nothing", "save", "rotate", "destroy", "logout"}

// In a request that a foreign page makes a browser send, which carries no Lax cookie even
// if the visitor has one, no session begins and no cookie is set or taken away, whatever
// the handler does. So the visitor's own stays.
func TestForeignRequests(t *testing.T) {
	t.Parallel()
	cross := func(mode, dest string) []string {
		return []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", mode, "Sec-Fetch-Dest", dest}
	}
	preflight := []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "POST"}
	for name, c := range map[string]struct {
		method string
		header []string
		begins bool
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
				a := newApp(t, shared(t), prefix(), opts...)
				acting(a)
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

// A link on a foreign page brings no Strict cookie, so that no session begins by itself and
// takes the visitor's cookie away; what the page saves has one.
func TestForeignLinkToAStrictCookie(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	a.store.Options(sessions.Options{SameSite: http.SameSiteStrictMode})
	acting(a)
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
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

// The error says why, and is an ErrNoSession to who knows that only.
func TestWithheldSession(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	asked := false
	a.router.POST("/form", lifecycle.Handler(func(c *lifecycle.Context) {
		asked = true
		if c.Session() != nil {
			t.Error("there is a session")
		}
		for what, err := range map[string]error{
			"save": save(c, "k", "v"), "rotate": c.RotateSession(), "hook": c.OnSessionDestroyed(nothing),
		} {
			if !errors.Is(err, lifecycle.ErrSessionWithheld) || !errors.Is(err, lifecycle.ErrNoSession) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}))
	b := newBrowser(t, a.serve())
	b.send(http.MethodPost, "/form", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	if !asked {
		t.Error("the handler did not run")
	}
}

// A cookie for other sites to use, and a request that the application expects from one,
// begin sessions; a preflight never does.
func TestForeignRequestsThatAreMeant(t *testing.T) {
	t.Parallel()
	form := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	none := newApp(t, shared(t), prefix())
	none.store.Options(sessions.Options{SameSite: http.SameSiteNoneMode})
	meant := newApp(t, shared(t), prefix(), lifecycle.WithCrossSite(func(c *gin.Context) bool { return c.FullPath() == "/do/:what" }))
	meant.router.POST("/other", func(*gin.Context) {})
	for _, a := range []*app{none, meant} {
		acting(a)
		b := newBrowser(t, a.serve())
		if got := b.send(http.MethodPost, "/do/save", form...); got.status != http.StatusOK || len(got.cookies) != 1 {
			t.Errorf("%+v", got)
		}
		if got := newBrowser(t, a.serve()).send(http.MethodOptions, "/do/save", append(form, "Origin", "https://a.example", "Access-Control-Request-Method", "PUT")...); len(got.cookies) != 0 {
			t.Errorf("a preflight set cookies %v", got.cookies)
		}
	}
	if got := newBrowser(t, meant.serve()).send(http.MethodPost, "/other", form...); len(got.cookies) != 0 {
		t.Errorf("cookies %v", got.cookies)
	}
}
