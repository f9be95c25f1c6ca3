package clients

import (
	"testing"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
)

// A logout removes the cookie, whatever path and domain the login gave it, and whatever path and
// domain the logout names, if any.
func TestLogout(t *testing.T) {
	t.Parallel()
	logins := map[string]sessions.Options{
		"default":     {Path: "/"},
		"age only":    {MaxAge: twelveHours},
		"of a domain": {Path: "/", Domain: ".shop.example", MaxAge: twelveHours},
		"of a path":   {Path: "/account", MaxAge: twelveHours},
	}
	logouts := map[string]sessions.Options{
		"age only":         {MaxAge: -1},
		"path":             {Path: "/", MaxAge: -1},
		"domain":           {Domain: "shop.example", MaxAge: -1},
		"path and domain":  {Path: "/", Domain: "Shop.example", MaxAge: -1},
		"a path elsewhere": {Path: "/account/logout", MaxAge: -1},
	}
	for in, login := range logins {
		t.Run("login "+in+", DestroySession", func(t *testing.T) {
			t.Parallel()
			loggedOut(t, nil, login, (*lifecycle.Context).DestroySession)
		})
		for out, logout := range logouts {
			t.Run("login "+in+", logout "+out, func(t *testing.T) {
				t.Parallel()
				loggedOut(t, nil, login, savesWith(logout))
			})
		}
	}
	store := &sessions.Options{Path: "/", Domain: "Shop.example", MaxAge: twelveHours}
	t.Run("the store's domain, logout age only", func(t *testing.T) {
		t.Parallel()
		loggedOut(t, store, *store, savesWith(sessions.Options{MaxAge: -1}))
	})
	t.Run("the store's domain, logout path", func(t *testing.T) {
		t.Parallel()
		loggedOut(t, store, *store, savesWith(sessions.Options{Path: "/", MaxAge: -1}))
	})
}

// savesWith returns what saves the session with these options.
func savesWith(o sessions.Options) func(c *lifecycle.Context) error {
	return func(c *lifecycle.Context) error {
		session := sessions.Default(c.Context)
		session.Options(o)
		return session.Save()
	}
}

// loggedOut logs a visitor in and out again.
func loggedOut(t *testing.T, store *sessions.Options, login sessions.Options, logout func(c *lifecycle.Context) error) {
	s := newShop(t)
	if store != nil {
		s.store.Options(*store)
	}
	s.saves("/account/login", login, rotates)
	s.router.POST("/account/logout", lifecycle.Handler(func(c *lifecycle.Context) {
		if err := logout(c); err != nil {
			t.Error(err)
		}
		page(c)
	}))
	s.listen()
	v := visit(t)
	v.open(s.url("/account/form"))
	in := v.post("/account/login")
	if got := v.open(s.url("/account/")); in.User != "alice" || got != in {
		t.Fatalf("logged in: %+v, the login shows %+v", got, in)
	}
	if out := v.post("/account/logout"); out.ID != "" {
		t.Errorf("the logout shows %+v", out)
	}
	if all := v.cookies("session"); len(all) != 0 {
		t.Errorf("afterwards: cookies %s", describe(all))
	}
	if got := v.open(s.url("/account/")); got.ID == "" || got.ID == in.ID || got.User != "" {
		t.Errorf("afterwards: %+v, was %+v", got, in)
	}
}
