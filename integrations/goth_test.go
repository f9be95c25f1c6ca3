package integrations

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/markbates/goth"
	"github.com/markbates/goth/gothic"
	"github.com/markbates/goth/providers/faux"

	"github.com/gin-lifecycle/lifecycle"
)

// gothic keeps the state of a login in a session of its own while the visitor is at the
// provider. The visitor's own session is there before and afterwards, and the login rotates it.
func TestWithGothic(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	gothic.Store = s.store
	goth.UseProviders(new(faux.Provider))
	s.use(s.m.Middleware())
	s.router.GET("/auth/:provider", func(c *gin.Context) {
		gothic.BeginAuthHandler(c.Writer, gothic.GetContextWithProvider(c.Request, c.Param("provider")))
	})
	s.router.GET("/auth/:provider/callback", lifecycle.Handler(func(c *lifecycle.Context) {
		user, err := gothic.CompleteUserAuth(c.Writer, gothic.GetContextWithProvider(c.Request, c.Param("provider")))
		if err != nil {
			c.String(http.StatusForbidden, err.Error())
			return
		}
		if err := c.RotateSession(); err != nil {
			c.String(http.StatusConflict, err.Error())
			return
		}
		c.Values().Set("user", user.UserID)
		answer(c, c.Values().Save())
	}))
	b := newBrowser(t, s.serve())
	id := b.ok("/set?cart=book")
	state := beginLogin(t, b)
	if p := b.get("/auth/faux/callback?state=forged"); p.status != http.StatusForbidden || p.body != "state token mismatch" {
		t.Errorf("a forged state: %d %s", p.status, p.body)
	}
	if b.cookie(gothic.SessionName) != "" {
		t.Error("the login's cookie is there after the login has failed")
	}
	// gothic ends its session with the first answer of the provider: a second one has none.
	if p := b.get("/auth/faux/callback?state=" + url.QueryEscape(state)); p.status != http.StatusForbidden {
		t.Errorf("a second answer of the provider: %d %s", p.status, p.body)
	}
	state, before := beginLogin(t, b), b.cookie("session")
	p := b.get("/auth/faux/callback?state=" + url.QueryEscape(state))
	if p.status != http.StatusOK || p.body != id {
		t.Fatalf("the login: %d %s", p.status, p.body)
	}
	if b.cookie("session") == before || b.cookie(gothic.SessionName) != "" {
		t.Error("after the login the browser has the cookies of before")
	}
	if user, cart := b.ok("/get?key=user"), b.ok("/get?key=cart"); user != "id" || cart != "book" {
		t.Errorf("user %s, cart %s", user, cart)
	}
	// gothic's two sessions are sessions as well: the destroyed hook gets them.
	for range 2 {
		if x := s.nextEnded(); x.ID == id || x.Reason != lifecycle.ReasonDestroyed || x.Get("faux") == nil {
			t.Errorf("ended: %s, %s, %v", x.ID, x.Reason, x.Values())
		}
	}
	s.lives(1)
}

// beginLogin sends the visitor to the provider. It returns the state that gothic has given.
func beginLogin(t *testing.T, b *browser) string {
	t.Helper()
	p := b.get("/auth/faux")
	to, err := url.Parse(p.header.Get("Location"))
	if p.status != http.StatusTemporaryRedirect || err != nil || to.Query().Get("state") == "" {
		t.Fatalf("sent to the provider: %d %s %v", p.status, p.header.Get("Location"), err)
	}
	if b.cookie(gothic.SessionName) == "" {
		t.Fatal("the login has no cookie")
	}
	return to.Query().Get("state")
}
