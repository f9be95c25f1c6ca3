package suite_test

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// Pages that several tests add to an app.

// save saves one value.
func save(c *lifecycle.Context, key, value string) error {
	s := sessions.Default(c.Context)
	s.Set(key, value)
	return s.Save()
}

// saveWith saves the session with these Options.
func saveWith(c *lifecycle.Context, o sessions.Options) error {
	s := sessions.Default(c.Context)
	s.Options(o)
	return s.Save()
}

// logout ends the session as applications of gin-contrib/sessions do.
func logout(c *lifecycle.Context) error { return saveWith(c, sessions.Options{MaxAge: -1}) }

// register registers a closure that is not taken back.
func register(c *lifecycle.Context, h lifecycle.Hook, opts ...lifecycle.ClosureOption) error {
	_, err := c.OnSessionDestroyed(h, opts...)
	return err
}

// hold adds the page /hold, which registers h for the visitor's session.
func (a *app) hold(h lifecycle.Hook, opts ...lifecycle.ClosureOption) {
	a.get("/hold", func(c *lifecycle.Context) { a.answer(c, register(c, h, opts...)) })
}

// remember adds the page /remember, which saves the session with a MaxAge of one day.
func (a *app) remember() {
	a.get("/remember", func(c *lifecycle.Context) {
		a.answer(c, saveWith(c, sessions.Options{Path: "/", MaxAge: 24 * 3600}))
	})
}

// ages adds the page /age, which saves the session with a MaxAge of n seconds.
func (a *app) ages() {
	a.get("/age", func(c *lifecycle.Context) {
		var n int
		_, _ = fmt.Sscan(c.Query("n"), &n)
		a.answer(c, saveWith(c, sessions.Options{MaxAge: n}))
	})
}

// login adds a page that logs in a user, as most applications of gin-contrib/sessions do.
func (a *app) login(path string, rotate bool, o sessions.Options) {
	a.get(path, func(c *lifecycle.Context) {
		if rotate {
			if err := c.RotateSession(); err != nil {
				a.answer(c, err)
				return
			}
		}
		s := sessions.Default(c.Context)
		s.Set("user", "alice")
		s.Options(o)
		a.answer(c, s.Save())
	})
}

// everywhere makes every other path answer with the ID of the session and its user.
func (a *app) everywhere() {
	a.router.NoRoute(lifecycle.Handler(func(c *lifecycle.Context) {
		c.String(http.StatusOK, "%s %v", idOf(c), sessions.Default(c.Context).Get("user"))
	}))
}

// actions are what a handler can do with a session: see acting.
var actions = []string{"nothing", "save", "rotate", "destroy", "logout"}

// acting adds the pages /do/<action>, for all methods.
func (a *app) acting() {
	does := map[string]func(c *lifecycle.Context) error{
		"nothing": func(*lifecycle.Context) error { return nil },
		"save":    func(c *lifecycle.Context) error { return save(c, "user", "mallory") },
		"rotate":  func(c *lifecycle.Context) error { return c.RotateSession() },
		"destroy": func(c *lifecycle.Context) error { return c.DestroySession() },
		"logout":  logout,
	}
	a.router.Any("/do/:what", lifecycle.Handler(func(c *lifecycle.Context) {
		a.answer(c, does[c.Param("what")](c))
	}))
}

// with returns an app that uses another router, which begins with these middlewares.
func (a *app) with(middleware ...gin.HandlerFunc) *app {
	b := &app{t: a.t, router: gin.New()}
	b.router.Use(middleware...)
	return b
}

// bare returns an app that uses the same store without a middleware of lifecycle. Its
// pages are those of app.pages and app.ages, without /rotate.
func (a *app) bare() *app {
	b := a.with(sessions.Sessions("session", a.store))
	page := func(path string, do func(c *gin.Context, s sessions.Session) error) {
		b.router.GET(path, func(c *gin.Context) {
			s := sessions.Default(c)
			if err := do(c, s); err != nil {
				_ = c.Error(err)
				c.String(http.StatusConflict, err.Error())
				return
			}
			c.String(http.StatusOK, s.ID())
		})
	}
	page("/", func(*gin.Context, sessions.Session) error { return nil })
	page("/set", func(c *gin.Context, s sessions.Session) error {
		for k, v := range c.Request.URL.Query() {
			s.Set(k, v[0])
		}
		return s.Save()
	})
	page("/age", func(c *gin.Context, s sessions.Session) error {
		var n int
		_, err := fmt.Sscan(c.Query("n"), &n)
		s.Options(sessions.Options{MaxAge: n})
		return errors.Join(err, s.Save())
	})
	page("/destroy", func(_ *gin.Context, s sessions.Session) error {
		s.Options(sessions.Options{Path: "/", MaxAge: -1})
		return s.Save()
	})
	b.router.GET("/get", func(c *gin.Context) {
		c.String(http.StatusOK, "%v", sessions.Default(c).Get(c.Query("key")))
	})
	return b
}
