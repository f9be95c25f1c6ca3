package lifecycle

import (
	"errors"

	"github.com/gin-gonic/gin"
)

// Context is a gin context with a session. As with gin's, it belongs to the request: do not
// use it in another goroutine or after the handler has returned.
type Context struct {
	*gin.Context
	binding *binding
}

// Handler turns a function that takes a *Context into a gin handler. It panics if h is nil.
func Handler(h func(c *Context)) gin.HandlerFunc {
	if h == nil {
		panic("lifecycle: Handler: the function is nil")
	}
	return func(c *gin.Context) { h(From(c)) }
}

// From returns the Context of a request, for use in a plain gin handler. It panics if no
// lifecycle middleware has run before the handler.
func From(c *gin.Context) *Context {
	b, ok := c.Value(contextKey).(*binding)
	if !ok {
		panic("lifecycle: no session in this request: put router.Use(lifecycle.Middleware()) before the handler")
	}
	return &Context{Context: c, binding: b}
}

// Session returns the request's session as it is now. It returns nil if the session has
// ended, or has not begun: with WithLazyCreation before the first Save, and in requests in
// which no session may begin (see ErrSessionWithheld). So check for nil. To change values
// use sessions.Default(c) and Save.
func (c *Context) Session() *Session {
	if c.binding.state != live {
		return nil
	}
	return c.binding.snapshot()
}

// OnSessionDestroyed registers a hook for the end of the request's session: a closure, in
// the words of this package. The closure is called once, on this instance: when the
// session ends, wherever the end is noticed, or when this instance shuts down, with
// ReasonShutdown. It must not use c. Each call registers one more closure.
//
// The closures of a session are called in reverse order of registration, before the hooks
// of Manager.OnSessionDestroyed. A closure that fails is not called again. If the process
// is killed, its closures are lost: use Manager.OnSessionDestroyed for what must happen.
//
// If OnSessionDestroyed returns an error, the closure was not registered: close the resource
// yourself. The error is ErrSessionEnded if the session has ended, ErrNoSession or
// ErrSessionWithheld if there is none, ErrShutdown after Shutdown, or ErrUnavailable. It
// panics if h is nil. It takes one round trip to Redis.
func (c *Context) OnSessionDestroyed(h Hook) error {
	if h == nil {
		panic("lifecycle: OnSessionDestroyed: the hook is nil")
	}
	b, ctx := c.binding, c.Request.Context()
	if err := b.needLive(); err != nil {
		return err
	}
	return b.hooks.hold(b.token.ID, h, func(instance string) (record []byte, err error) { return b.watch(ctx, instance) })
}

// RotateSession gives the session a new secret and sends the new cookie. The old cookie is
// invalid from then on. Call it when the visitor's rights change, above all at login
// (OWASP, Session Management Cheat Sheet, "Renew the Session ID After Any Privilege Level
// Change"). The ID, the values and the hooks of the session stay. A rotation is not an end.
//
// Call it before the response's body; later it returns ErrHeadersWritten and does nothing.
// It returns ErrSessionEnded if the session has ended, and ErrUnavailable if Redis cannot
// be reached. It returns ErrNoSession if no session has begun, with WithLazyCreation:
// nothing needs to be rotated then, because the session begins with a new secret. It
// returns ErrSessionWithheld if no session may begin in this request; errors.Is reports
// that as ErrNoSession too, so look for it first.
func (c *Context) RotateSession() error {
	if c.Writer.Written() {
		return ErrHeadersWritten
	}
	return c.binding.rotate(c.Request, c.Writer)
}

// DestroySession ends the session with ReasonDestroyed and removes the cookie: a logout. The
// hooks run in the background. The session also ends if another request has rotated it. If
// the response's body has begun, the session ends, but the cookie cannot be removed: the
// browser keeps a cookie that no longer gives it a session.
//
// It returns ErrSessionEnded if the session had ended before, ErrNoSession or
// ErrSessionWithheld if there is none, and ErrUnavailable if Redis cannot be reached.
func (c *Context) DestroySession() error {
	err := c.binding.destroy(c.Request.Context(), ReasonDestroyed)
	if err == nil || errors.Is(err, ErrSessionEnded) {
		c.binding.expireCookie(c.Request, c.Writer)
	}
	return err
}
