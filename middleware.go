package lifecycle

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle/internal/cookie"
)

// contextKey is where the middleware leaves the session in the gin context.
const contextKey = "github.com/gin-lifecycle/lifecycle"

// Middleware returns the middleware that gives every request a session: it
// prolongs the one that the cookie names, or begins one and runs the created
// hooks, before the request's handler.
//
// It takes the session that gin-contrib's sessions.Sessions with a *Store has put
// in front of it. Without one, a manager made by New installs it itself, under
// the name of WithSessionName; the default manager, which has no store before its
// first request or Start, panics with a message that says so.
//
// In some requests no session begins: see ErrSessionWithheld. Their handler runs
// without one, as with WithLazyCreation.
//
// Every response gets "Vary: Cookie", and one that sets a cookie also "Cache-Control:
// no-cache="Set-Cookie", private", so that no shared cache hands it to another visitor
// (RFC 9111, section 7.3). What the application says in Cache-Control stands, except
// public and s-maxage beside a cookie; no-store is left as it is. A line that would set
// the session's cookie to another visitor's token, out of a cache within the
// application, is dropped.
//
// If the session cannot be read or begun, the handler does not run; see
// WithErrorHandler.
func (m *Manager) Middleware() gin.HandlerFunc {
	return func(c *gin.Context) {
		b := m.session(c)
		err := m.serve(b.store)
		if errors.Is(err, ErrShutdown) {
			err = nil // requests are served on
		}
		if own := m.config.ownName; err == nil && own != "" && b.name != own {
			err = fmt.Errorf("lifecycle: Middleware: the request has the session %q of a middleware in front already, and this manager's is %q: one session for each request", b.name, own)
		}
		if err != nil {
			b.store.warnOnce(err.Error(), "lifecycle: every request of a middleware is refused", "error", err)
		}
		if skip := m.config.skipper; err == nil && skip != nil && skip(c) {
			b.skip()
			c.Set(contextKey, served{m, b})
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
			c.Set(contextKey, served{m, b})
			c.Next()
		}
		w.finishHeader()
	}
}

// skip leaves the request without a session, even if somebody in front of the middleware
// has read it.
func (b *binding) skip() {
	b.loaded, b.err = true, nil
	b.state, b.withheld, b.resend = absent, withheldSkipped, false
	b.session.ID, b.session.Values, b.session.IsNew = "", map[any]any{}, true
}

// prepare starts the background work if it has not been, and the session.
func (m *Manager) prepare(c *gin.Context, b *binding) error {
	b.hooks, b.gin, b.headers = m, c, m.config.headers
	if !b.loaded {
		b.load(c.Request)
	}
	if b.err != nil {
		m.logMismatch(b.err)
		return b.err
	}
	// After Shutdown requests are served on, and created hooks run: it is the
	// background work that has ended.
	if err := m.start(c.Request.Context(), b.store); err != nil && !errors.Is(err, ErrShutdown) {
		return err
	}
	if allow := m.config.crossSite; b.withheld == withheldForeign && allow != nil && allow(c) {
		b.withheld = ""
	}
	// A visitor who comes from another site brings no Strict cookie: a session that began
	// by itself would take his own away.
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

// session returns the request's session. It is read later, unless somebody in front of
// the middleware has done so.
func (m *Manager) session(c *gin.Context) *binding {
	v, ok := c.Get(sessions.DefaultKey)
	if !ok {
		v = m.install(c)
	}
	all := bindingsOf(c.Request)
	all.deferred = true
	defer func() { all.deferred = false }()
	// gin-contrib's interface does not tell the store; its type does.
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

// install puts a gin-contrib session into the request's context, as
// sessions.Sessions does. That function also runs the rest of the chain, which
// must wait for the session, so it is given a context without one.
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

// Context is a gin context with a session. Like gin's, it is the request's: it
// must not be used by another goroutine or after the handler has returned.
type Context struct {
	*gin.Context
	manager *Manager
	binding *binding
}

// served is what the middleware leaves in the gin context.
type served struct {
	manager *Manager
	binding *binding
}

// Handler makes a gin handler of one that takes a Context.
func Handler(h func(c *Context)) gin.HandlerFunc {
	return func(c *gin.Context) { h(From(c)) }
}

// From returns the Context of a request in a plain gin handler. It panics if no
// lifecycle middleware has run before.
func From(c *gin.Context) *Context {
	s, ok := c.Value(contextKey).(served)
	if !ok {
		panic("lifecycle: no session in this request: put router.Use(lifecycle.Middleware()) before the handler")
	}
	return &Context{Context: c, manager: s.manager, binding: s.binding}
}

// Session returns the request's session as it is now, nil if it has ended or has not
// begun: with WithLazyCreation, or where none may begin (ErrSessionWithheld). To change values use sessions.Default(c).
func (c *Context) Session() *Session {
	if c.binding.state != live {
		return nil
	}
	return c.binding.snapshot()
}

// OnSessionDestroyed registers a hook for the end of the request's session. It
// runs once, on this instance: when the session ends, wherever that is noticed,
// or when this instance shuts down (ReasonShutdown). The hooks of a session run
// last registered first, before the global ones. They are not called again if
// they fail; a killed process takes them with it.
//
// It returns ErrSessionEnded if the session has ended meanwhile, ErrNoSession if
// it has not begun, ErrSessionWithheld, ErrShutdown, or ErrUnavailable; the hook is not registered
// then and will not run. It panics if h is nil. It takes one round trip to Redis.
func (c *Context) OnSessionDestroyed(h Hook) error {
	if h == nil {
		panic("lifecycle: OnSessionDestroyed: the hook is nil")
	}
	return c.manager.hold(c.Request.Context(), c.binding, h)
}

// RotateSession gives the session a new secret, so that its old cookie is worth
// nothing: call it when a visitor's rights change, at login above all (OWASP,
// Session Management Cheat Sheet, "Renew the Session ID After Any Privilege Level
// Change"). ID, data and hooks stay; it is not an end. It must come before the
// response's body, else it returns ErrHeadersWritten and does nothing. It returns
// ErrSessionEnded if the session has ended meanwhile, ErrNoSession if it has not
// begun (with WithLazyCreation): it begins with a new secret; or ErrUnavailable.
func (c *Context) RotateSession() error {
	if c.Writer.Written() {
		return ErrHeadersWritten
	}
	return c.binding.rotate(c.Request, c.Writer)
}

// DestroySession ends the session with ReasonDestroyed and takes the cookie
// away. The hooks run in the background. A session that another request has rotated
// since this one read it ends too. After the response's body has begun the session
// ends as well, but the browser keeps a cookie that is worth nothing. It returns
// ErrSessionEnded if the session has ended before, ErrNoSession if it has not begun
// (with WithLazyCreation), or ErrUnavailable.
func (c *Context) DestroySession() error {
	err := c.binding.destroy(c.Request.Context(), ReasonDestroyed)
	if err == nil || errors.Is(err, ErrSessionEnded) {
		c.binding.expireCookie(c.Request, c.Writer)
	}
	return err
}
