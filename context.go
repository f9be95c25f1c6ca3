package lifecycle

import (
	"context"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
)

// Context is a gin context with a session. As with gin's, it belongs to the request: do not
// use it in another goroutine or after the handler has returned. When the lifecycle middleware
// has returned, its methods return ErrRequestOver and touch nothing; Session still shows the
// session.
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

// From returns the Context of a request, for use in a plain gin handler. If several managers
// have a middleware on the route, it is the Context of the last one; see Manager.From. It
// panics if no lifecycle middleware has run before the handler.
func From(c *gin.Context) *Context {
	b, ok := c.Value(contextKey).(*binding)
	if !ok {
		panic("lifecycle: no session in this request: put router.Use(lifecycle.Middleware()) before the handler")
	}
	return &Context{Context: c, binding: b}
}

// From returns the Context of a request with the session of this manager, where several
// managers have a middleware on the route: one for the site and one for its administrators,
// for example. It panics if the middleware of this manager has not run before the handler.
func (m *Manager) From(c *gin.Context) *Context {
	b, _ := c.Value(contextKey).(*binding)
	for ; b != nil; b = b.outer {
		if b.owner == any(m) {
			return &Context{Context: c, binding: b}
		}
	}
	panic("lifecycle: no session of this manager in this request: put router.Use(manager.Middleware()) before the handler")
}

// Handler turns a function that takes a *Context into a gin handler. The Context has the
// session of this manager; see Manager.From. It panics if h is nil.
func (m *Manager) Handler(h func(c *Context)) gin.HandlerFunc {
	if h == nil {
		panic("lifecycle: Handler: the function is nil")
	}
	return func(c *gin.Context) { h(m.From(c)) }
}

// Values returns the session as gin-contrib/sessions shows it: Get, Set, Save and so on. It
// is the same as sessions.Default(c.Context) if the request has one session. If the
// middleware has failed, the session has no values, and Save returns the error.
func (c *Context) Values() sessions.Session { return c.binding.values }

// Session returns the request's session as it is now, with the values that were saved last:
// see Values for those that are not saved yet. It returns nil if the session has
// ended, could not be read, or has not begun: with WithLazyCreation before the first Save, and
// in requests in which no session may begin (see ErrSessionWithheld). So check for nil. To
// change values use Values and Save.
func (c *Context) Session() *Session {
	b := c.binding
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != live || b.err != nil {
		return nil
	}
	return b.snapshot()
}

// OnSessionDestroyed registers a hook for the end of the request's session: a closure, in
// the words of this package. The closure is called once, on this instance: when the
// session ends, wherever the end is noticed, or when this instance shuts down, with
// ReasonShutdown. It must not use c. Each call registers one more closure; with the option
// Key a call replaces the closure of an earlier one. With NotAtShutdown the closure does not
// run at the shutdown. A nil option is ignored.
//
// The closures of a session are called in reverse order of registration, before the hooks
// of Manager.OnSessionDestroyed. A closure that fails is not called again. If the process
// is killed, its closures are lost: use Manager.OnSessionDestroyed for what must happen.
//
// remove takes the closure back. It returns true if it has done so: the closure does not
// run. It returns false if the session has ended, so that the closure has run, runs or
// waits for its turn; and if it was replaced (see Key), was dropped at the shutdown (see
// NotAtShutdown), has run there, or was taken back before. remove may be called
// from any goroutine, also after the request. It costs nothing while the instance holds
// other closures of the session. With the last one it takes one round trip, so that Redis
// forgets that this instance wants to know of the end. If Redis does not answer within
// WithRedisTimeout, remove returns true all the same; the end then costs a message for
// nothing, and Redis keeps the session's record ten minutes longer.
//
// If OnSessionDestroyed returns an error, the closure was not registered and remove is nil:
// close the resource yourself. The error is ErrSessionEnded if the session has ended,
// ErrNoSession or ErrSessionWithheld if there is none, ErrShutdown after Shutdown,
// ErrUnavailable, or that of a wrong option. It panics if h is nil. It takes one round trip
// to Redis.
func (c *Context) OnSessionDestroyed(h Hook, opts ...ClosureOption) (remove func() bool, err error) {
	if h == nil {
		panic("lifecycle: OnSessionDestroyed: the hook is nil")
	}
	closure, err := newClosure(h, opts)
	if err != nil {
		return nil, err
	}
	b := c.binding
	err = b.do(func() (err error) {
		if err = b.needLive(); err != nil {
			return err
		}
		remove, err = b.hooks.hold(b.token.ID, closure, func(instance string) (record []byte, err error) {
			return b.watch(b.request.Context(), instance)
		})
		return err
	})
	return remove, err
}

// SessionContext returns a context that ends when the request's session ends, on whichever
// instance, or when this instance shuts down. It does not end with the request: a handler
// that streams must wait for both, for this context and for c.Request.Context(). A goroutine
// may go on after the request until the session ends.
//
// context.Cause tells why the context has ended: the cause is an *EndedError with the
// Reason. The context ends before the closures of the session run on this instance (see
// OnSessionDestroyed), and at a shutdown before all closures. So work can stop before what
// it uses is released; the closures do not wait for it. The context ends when this instance
// has got the message about the end, and when fewer hooks run than WithConcurrency allows. If
// the message is lost, it ends up to 30 seconds later.
//
// SessionContext never returns nil. If the end of the session cannot be watched, the context
// has ended already, and its cause is the error: ErrSessionEnded if the session had ended,
// ErrNoSession or ErrSessionWithheld if there is none, ErrRequestOver after the request,
// ErrShutdown after Shutdown, or ErrUnavailable.
//
// All requests of a session on this instance get the same context, which has no values and
// no deadline and counts as one closure. The first call takes one round trip to Redis,
// further ones none. The library keeps the context until it ends. The context may be used in
// any goroutine.
func (c *Context) SessionContext() context.Context {
	b := c.binding
	var ctx context.Context
	err := b.do(func() error {
		if err := b.needLive(); err != nil {
			return err
		}
		request := context.WithoutCancel(b.request.Context()) // other requests get the same context
		ctx = b.hooks.sessionContext(b.token.ID, func(instance string) (record []byte, err error) { return b.watch(request, instance) })
		return nil
	})
	if err != nil {
		return endedContext(err)
	}
	return ctx
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
func (c *Context) RotateSession() error { return c.binding.do(c.binding.rotate) }

// DestroySession ends the session with ReasonDestroyed and removes the cookie: a logout. The
// hooks run in the background. The session also ends if another request has rotated it. If
// the response's body has begun, the session ends, but the cookie cannot be removed: the
// browser keeps a cookie that no longer gives it a session.
//
// The request goes on without a session and without its values. If the handler sets values
// afterwards, a flash for example, Save begins a new session in the same request, as
// RenewSession does.
//
// It returns ErrSessionEnded if the session had ended before, ErrNoSession or
// ErrSessionWithheld if there is none, and ErrUnavailable if Redis cannot be reached. In
// WithErrorHandler it also ends a session that cannot be decoded.
func (c *Context) DestroySession() error {
	return c.binding.do(func() error { return c.binding.destroy(ReasonDestroyed) })
}

// RenewSession ends the session with ReasonDestroyed, and begins a new one without values in
// the same request: to log out and go on, or to log in another user. The destroyed hooks of
// the old session run in the background, and the created hooks of the new one before
// RenewSession returns. If the request has no session, or it has ended, a new one begins.
//
// Call it before the response's body; later it returns ErrHeadersWritten and does nothing. It
// returns ErrSessionWithheld if no session may begin in this request, and the session stays
// as it is then. It returns ErrRefused if a created hook has failed and
// WithCreatedHooksRequired is set, and ErrUnavailable if Redis cannot be reached; the old
// session may have ended then. It takes two round trips.
func (c *Context) RenewSession() error { return c.binding.do(c.binding.renew) }

// Begin begins a session, if the request has none: with WithLazyCreation, where a session
// otherwise begins with the first Save of a value. The created hooks run before Begin
// returns. If there is a session, Begin does nothing.
//
// Call it before the response's body; later it returns ErrHeadersWritten. It returns
// ErrSessionEnded if the session has ended while the request had it (see RenewSession),
// ErrSessionWithheld if no session may begin in this request, ErrRefused, or ErrUnavailable. It
// takes one round trip.
func (c *Context) Begin() error {
	b := c.binding
	return b.do(func() error {
		switch {
		case b.err != nil:
			return b.err
		case b.state == live:
			return nil
		case b.state == ended:
			return ErrSessionEnded
		}
		return b.begin()
	})
}

// SetTimeouts gives the session timeouts of its own: for "remember me", or for shorter ones
// from the login on, without other timeouts for all sessions. They stay with the session, until
// SetTimeouts is called again or a Save changes the MaxAge of the cookie, which is an idle
// timeout too.
//
// idle is from 1 ms to ten years. absolute counts from now on and not from the beginning of
// the session; 0 is for no limit, else it is from 1 ms to ten years. For the values of the
// store pass what you gave WithIdleTimeout and WithAbsoluteTimeout. The cookie still ends when
// the browser is closed, unless it has a MaxAge: see Store.Options.
//
// In a Passive route the present end of the session stays as it is, unless the new absolute
// timeout comes before it; the next request that prolongs the session uses the new timeouts.
//
// The token changes. If the response's body has begun, the new one is sent with the response
// to the next request. SetTimeouts saves no values that were set before it. It returns an error
// for impossible timeouts, ErrSessionEnded if the session has ended, ErrNoSession or
// ErrSessionWithheld if there is none, and ErrUnavailable if Redis cannot be reached. It takes
// one round trip.
func (c *Context) SetTimeouts(idle, absolute time.Duration) error {
	return c.binding.do(func() error { return c.binding.setTimeouts(idle, absolute) })
}

// KeepAlive keeps the session alive beyond its idle timeout until stop is called: for what
// runs on when the handler has returned, such as a job or a hijacked connection. While the
// handler itself runs, its session is kept alive anyway. stop may be called in any goroutine,
// also after the request, and more than once.
//
// The session does not live beyond its absolute timeout. It ends by DestroySession,
// Manager.Destroy and so on as always, and KeepAlive does not prevent that; see
// SessionContext to learn of it. A rotation, or other timeouts, change nothing. If stop is
// never called, the session lives until its absolute timeout, or until this instance is gone.
//
// It returns ErrSessionEnded, ErrNoSession or ErrSessionWithheld if there is no session, and
// ErrShutdown after Shutdown; stop is nil then. It sends one command to Redis at once and one
// for each third of the idle timeout, together with those for other sessions.
func (c *Context) KeepAlive() (stop func(), err error) {
	err = c.binding.do(func() (err error) {
		stop, err = c.binding.keepAlive()
		return err
	})
	return stop, err
}
