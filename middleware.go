package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
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
// If the session cannot be read or begun, the handler does not run; see
// WithErrorHandler.
func (m *Manager) Middleware() gin.HandlerFunc {
	return func(c *gin.Context) {
		b := m.session(c)
		b.manager, b.gin = m, c
		if err := m.prepare(c, b); err != nil {
			_ = c.Error(err)
			m.config.onError(c, err)
			c.Abort()
			return
		}
		c.Set(contextKey, b)
		c.Next()
	}
}

// prepare starts the background work if it has not been, and the session.
func (m *Manager) prepare(c *gin.Context, b *binding) error {
	if err := m.serve(b.store); err != nil && !errors.Is(err, ErrShutdown) {
		return err
	}
	if b.err != nil {
		m.mismatch(b.err)
		return b.err
	}
	// After Shutdown requests are served on, and created hooks run: it is the
	// background work that has ended.
	if err := m.start(c.Request.Context(), b.store); err != nil && !errors.Is(err, ErrShutdown) {
		return err
	}
	if b.state == absent && !m.config.lazy {
		values, err := b.encode(b.session.Values)
		if err != nil {
			return err
		}
		if err := b.begin(c.Request, c.Writer, values); err != nil {
			return err
		}
	}
	if b.resend {
		b.sendCookie(c.Request, c.Writer)
	}
	return nil
}

// session returns the request's session, reading it from Redis.
func (m *Manager) session(c *gin.Context) *binding {
	v, ok := c.Get(sessions.DefaultKey)
	if !ok {
		v = m.install(c)
	}
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
	binding *binding
}

// Handler makes a gin handler of one that takes a Context.
func Handler(h func(c *Context)) gin.HandlerFunc {
	return func(c *gin.Context) { h(From(c)) }
}

// From returns the Context of a request in a plain gin handler. It panics if no
// lifecycle middleware has run before.
func From(c *gin.Context) *Context {
	b, ok := c.Value(contextKey).(*binding)
	if !ok {
		panic("lifecycle: no session in this request: put router.Use(lifecycle.Middleware()) before the handler")
	}
	return &Context{Context: c, binding: b}
}

// Session returns the request's session as it is now, nil if it has ended or,
// with WithLazyCreation, not begun. To change values use sessions.Default(c).
func (c *Context) Session() *Session {
	if c.binding.state != live {
		return nil
	}
	return c.binding.picture()
}

// OnSessionDestroyed registers a hook for the end of the request's session. It
// runs once, on this instance: when the session ends, wherever that is noticed,
// or when this instance shuts down (ReasonShutdown). The hooks of a session run
// last registered first, before the global ones. They are not called again if
// they fail; a killed process takes them with it.
//
// It returns ErrSessionEnded if the session has ended meanwhile, ErrNoSession if
// it has not begun, ErrShutdown, or ErrUnavailable; the hook is not registered
// then and will not run. It panics if h is nil. It takes one round trip to Redis.
func (c *Context) OnSessionDestroyed(h Hook) error {
	if h == nil {
		panic("lifecycle: OnSessionDestroyed: the hook is nil")
	}
	return c.binding.onDestroyed(c.Request.Context(), h)
}

func (b *binding) onDestroyed(ctx context.Context, h Hook) error {
	if err := b.needLive(); err != nil {
		return err
	}
	m, id := b.manager, b.token.ID
	if !m.closures.open(id) {
		return ErrShutdown
	}
	ok, err := b.store.ledger.Watch(ctx, id, b.token.Proof(), m.instance)
	if err != nil || !ok {
		m.closures.abort(id)
		if err != nil {
			return unavailable("register a hook", err)
		}
		b.state = ended
		return ErrSessionEnded
	}
	end, ok := m.closures.commit(id, h, b.packed)
	if !ok {
		return ErrShutdown
	}
	if bg := m.started.Load(); end != nil && bg != nil {
		bg.delivery.Submit([]*ledger.Claim{{End: *end}}) // it ended just now
	}
	return nil
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
