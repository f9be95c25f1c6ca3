package lifecycle

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle/internal/cookie"
)

// contextKey is where the middleware leaves the session in the gin context.
const contextKey = "github.com/gin-lifecycle/lifecycle"

// Middleware returns a middleware that gives every request a session, before the request's
// handler runs. It prolongs the session that the cookie names. If there is none, it begins
// a new session and runs the created hooks.
//
// The middleware uses the session that sessions.Sessions with a *Store has put before it.
// If there is none, a manager made by New installs the session itself, under the name of
// WithSessionName. The default manager panics then, unless it has a store already, from an
// earlier request or Start.
//
// If the session cannot be read or begun, the handler does not run. The response is a 503 if
// Redis cannot be reached (ErrUnavailable), and a 500 otherwise; see WithErrorHandler.
// In some requests no session may begin; the handler then runs without one. See
// ErrSessionWithheld and WithSkipper.
//
// Every response gets "Vary: Cookie". A response that sets a cookie also gets
// "Cache-Control: no-cache="Set-Cookie", private", so that no shared cache gives the cookie
// to another visitor (RFC 9111, section 7.3). What the application sets in Cache-Control is
// kept, except public and s-maxage beside a cookie; with no-store nothing is added. If a
// cache within the application would set this visitor's cookie to the token of another
// visitor, that line is removed.
func (m *Manager) Middleware() gin.HandlerFunc {
	return func(c *gin.Context) {
		b := m.session(c)
		err := m.serve(b.store)
		if errors.Is(err, ErrShutdown) {
			err = nil // requests are still served
		}
		if own := m.config.ownName; err == nil && own != "" && b.name != own {
			err = fmt.Errorf("lifecycle: Middleware: a middleware before this one has given the request the session %q, and the name of this manager's session is %q: a request can have one session", b.name, own)
		}
		if err != nil {
			b.store.logOnce(slog.LevelError, err.Error(), "lifecycle: the middleware refuses every request because it is used wrongly; see the error", "error", err)
		}
		if skip := m.config.skipper; err == nil && skip != nil && skip(c) {
			b.skip()
			c.Set(contextKey, b)
			c.Next()
			return
		}
		w := &response{ResponseWriter: c.Writer, binding: b}
		c.Writer = w
		if err == nil {
			err = m.prepare(c, b)
		}
		if err != nil {
			_ = c.Error(err)
			m.config.onError(c, err)
			c.Abort()
		} else {
			c.Set(contextKey, b)
			c.Next()
		}
		w.finishHeader()
	}
}

// Middleware returns the middleware of the default manager. Put it behind
// sessions.Sessions with a *Store:
//
//	router.Use(sessions.Sessions("session", store))
//	router.Use(lifecycle.Middleware())
//
// It gives every request a session, and runs the created hooks if the session is new. If
// Redis cannot be reached, the request gets a 503 and its handler does not run. If there is
// no session before it, the middleware installs one under the name of WithSessionName; it
// panics if the default manager has no store yet. See Manager.Middleware.
func Middleware() gin.HandlerFunc { return std.Middleware() }

// prepare starts the background work, unless it has been started, and reads or begins the
// session.
func (m *Manager) prepare(c *gin.Context, b *binding) error {
	b.hooks, b.gin, b.headers = m, c, m.config.headers
	if !b.loaded {
		b.load(c.Request)
	}
	if b.err != nil {
		m.logMismatch(b.err)
		return b.err
	}
	// After Shutdown requests are still served and created hooks run: only the background
	// work has stopped.
	if err := m.start(c.Request.Context(), b.store); err != nil && !errors.Is(err, ErrShutdown) {
		return err
	}
	if allow := m.config.crossSite; b.withheld == withheldForeign && allow != nil && allow(c) {
		b.withheld = ""
	}
	// A visitor who follows a link from another site sends no Strict cookie. A new session
	// would replace his own.
	stray := b.session.Options.SameSite == http.SameSiteStrictMode && cookie.IsForeignLink(c.Request)
	if b.state == absent && !m.config.lazy && !stray && b.withheldError() == nil {
		values, err := b.encode(b.session.Values)
		if err != nil {
			return err
		}
		if err := b.begin(c.Request, c.Writer, values); err != nil {
			return err
		}
	}
	return nil
}

// session returns the request's session. It is not read from Redis yet, unless a handler
// before the middleware has read it.
func (m *Manager) session(c *gin.Context) *binding {
	v, ok := c.Get(sessions.DefaultKey)
	if !ok {
		v = m.install(c)
	}
	all := bindingsOf(c.Request)
	all.deferred = true
	defer func() { all.deferred = false }()
	// gin-contrib's interface does not give the store; its type does.
	s, ok := v.(interface{ Session() *gsessions.Session })
	if !ok {
		panic(fmt.Sprintf("lifecycle: Middleware: the gin-contrib session is a %T; one session of sessions.Sessions is needed, not several of SessionsMany", v))
	}
	b, ok := s.Session().Store().(*binding)
	if !ok {
		panic(fmt.Sprintf("lifecycle: Middleware: the gin-contrib session is kept by a %T; make its store with lifecycle.NewStore", s.Session().Store()))
	}
	return b
}

// install puts a session of gin-contrib into the request's context, as sessions.Sessions
// does. That function also runs the rest of the chain, which must wait for the session. So
// it gets a gin context without a chain.
func (m *Manager) install(c *gin.Context) any {
	m.mu.Lock()
	store := m.store
	name := m.config.sessionName
	m.mu.Unlock()
	if store == nil {
		panic("lifecycle: Middleware: there is no session: put router.Use(sessions.Sessions(\"session\", store)) before it, or use the Middleware of a manager made by lifecycle.New")
	}
	bare := &gin.Context{Request: c.Request, Writer: c.Writer}
	sessions.Sessions(name, store)(bare)
	v, _ := bare.Get(sessions.DefaultKey)
	c.Set(sessions.DefaultKey, v)
	return v
}
