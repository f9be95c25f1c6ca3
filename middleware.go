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

// preparingKey is where the middleware leaves it while Redis is asked and created hooks run. A
// middleware before this one may answer meanwhile and let this one run on (gin-contrib/timeout
// does): gin then uses its context for another visitor, and what was left there is gone.
const preparingKey = contextKey + ": preparing"

// Middleware returns a middleware that gives every request a session, before the request's
// handler runs. It prolongs the session that the cookie names. If there is none, it begins
// a new session and runs the created hooks. It also runs them if a handler before it has begun the
// session with a Save in this request.
//
// The middleware uses the session that sessions.Sessions with a *Store has put before it.
// If there is none, a manager made by New installs the session itself, under the name of
// WithSessionName. The default manager panics then, unless it has a store already, from an
// earlier request or Start.
//
// If the session cannot be read or begun, the handler does not run. The response is a 503 if
// Redis cannot be reached (ErrUnavailable), and a 500 otherwise; see WithErrorHandler.
// In some requests no session may begin; the handler then runs without one. See
// ErrSessionWithheld and WithSkipper. In a request for a WebSocket none begins by itself, because
// its cookie may not reach the client: begin it with Begin or Save before the upgrade, and hand
// the library the cookie (docs/integrations.md).
//
// When the middleware returns, the session of the request is closed: what a goroutine, or a
// handler that runs on, does with it later returns ErrRequestOver.
//
// Several managers may have a middleware on one route, each with a session of its own: give
// each a name with WithSessionName. See Manager.From.
//
// A request may come through the middleware once more: by gin's HandleContext, or by an engine
// within a handler. It keeps its session, and the created hooks do not run again. An engine within
// may answer into a recorder; the cookie goes with the visitor's response. Let it serve one request
// after the other: the session belongs to one goroutine at a time.
//
// Every response gets "Vary: Cookie". A response that sets a cookie also gets
// "Cache-Control: no-cache="Set-Cookie", private", so that no shared cache gives the cookie
// to another visitor (RFC 9111, section 7.3). What the application sets in Cache-Control is
// kept, except public and s-maxage beside a cookie; with no-store nothing is added. If a
// cache within the application would set this visitor's cookie to the token of another
// visitor, that line is removed, and so is such a token in the field of WithTokenHeader.
func (m *Manager) Middleware() gin.HandlerFunc {
	m.wired.Store(true)
	return func(c *gin.Context) {
		all := bindingsOf(c.Request)
		outer, _ := c.Value(contextKey).(*binding)
		if outer == nil && all.over() { // the same request once more, as in tests of applications
			all = newBindings(c.Request)
		}
		if outer == nil && all.enter() {
			defer all.close()
		}
		b, shown, err := m.session(c, all, outer)
		if err != nil {
			m.usedWrongly(c, all, outer, err)
			return
		}
		if before := bindingsOf(b.request); outer == nil && before != all && all.find(b.store, b.name) != b { // a middleware has replaced the request since sessions.Sessions
			all.add(b) // for goOn
			defer before.close()
		}
		within := b.isWithin(outer)
		if b.bound && !within {
			m.goOn(c, all, b, outer, shown)
			return
		}
		b.face = shown
		if within { // this middleware is there twice
			c.Next()
			return
		}
		b.owner, b.outer = m, outer
		if skip := m.config.skipper; skip != nil && skip(c) {
			defer m.restore(c, b)
			b.skip()
			c.Set(contextKey, b)
			c.Next()
			return
		}
		b.unskip()
		m.serveSession(c, b)
	}
}

// isWithin reports whether b is outer or the session of a middleware around it.
func (b *binding) isWithin(outer *binding) bool {
	for ; outer != nil; outer = outer.outer {
		if outer == b {
			return true
		}
	}
	return false
}

// goOn serves a request that comes through the middleware once more, without what the first
// time has left in gin's context: gin's HandleContext has emptied it, or the request has come to
// an engine within a handler. The session is that of the first time, which also closes it.
//
// What an engine within writes goes through the response of the first time, or is no response to
// the visitor: a handler may put one together from several. After it, gin-contrib shows the
// session as it did before.
func (m *Manager) goOn(c *gin.Context, all *bindings, b, outer *binding, shown face) {
	if b.owner != any(m) {
		m.usedWrongly(c, all, outer, nameTaken(b.name))
		return
	}
	before := b.face
	b.face = shown
	c.Set(contextKey, b)
	defer m.leave(c, b)
	if b.served != any(c) {
		defer func() { b.face = before }()
		c.Next()
		return
	}
	w := &response{ResponseWriter: c.Writer, binding: b}
	c.Writer = w
	c.Next()
	w.finishHeader(false) // gin sends the header of a response without a body when this one returns
}

// serveSession runs the rest of the chain with a session.
func (m *Manager) serveSession(c *gin.Context, b *binding) {
	w := &response{ResponseWriter: c.Writer, binding: b}
	c.Writer = w
	defer m.restore(c, b)
	c.Set(preparingKey, b)
	err := m.prepare(c, b)
	if x, _ := c.Get(preparingKey); x != any(b) {
		return // another visitor's, see preparingKey
	}
	c.Set(contextKey, b)
	if err != nil {
		_ = c.Error(err)
		m.config.onError(c, err)
		c.Abort()
	} else {
		c.Next()
	}
	w.finishHeader(false)
}

// restore closes the session and leaves the one of the middleware around this one.
func (m *Manager) restore(c *gin.Context, b *binding) {
	b.close()
	m.leave(c, b)
}

// leave leaves the session of the middleware around this one in gin's context.
func (m *Manager) leave(c *gin.Context, b *binding) {
	if b.outer == nil {
		return
	}
	if x, _ := c.Get(contextKey); x == any(b) { // else it is another visitor's, see preparingKey
		c.Set(contextKey, b.outer)
		c.Set(sessions.DefaultKey, b.outer.found)
	}
}

// usedWrongly answers a request for which the middleware has no session because of how the
// application is written. The error handler, and what it goes on to, may use From all the same. It
// may go on by HandleContext: then the request comes here once more.
func (m *Manager) usedWrongly(c *gin.Context, all *bindings, outer *binding, err error) {
	if b := all.failedFor(m); b != nil {
		c.Set(contextKey, b)
		defer m.leave(c, b)
		c.Next()
		return
	}
	b := failed(c, err)
	b.owner, b.outer = m, outer
	defer m.restore(c, b)
	defer all.fail(b)()
	c.Set(contextKey, b)
	m.mu.Lock()
	log, onError := m.config.logger(), m.config.onError
	m.mu.Unlock()
	if _, said := m.wrong.LoadOrStore(err.Error(), true); !said {
		log.Error("lifecycle: the middleware refuses every request because it is used wrongly; see the error", "error", err)
	}
	_ = c.Error(err)
	onError(c, err)
	c.Abort()
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
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hooks, b.request, b.headers, b.served = m, c.Request, m.config.headers, c
	b.noteClient(c)
	b.bound, b.sent = true, c.Writer.Written()
	if isPassive(c) {
		b.becomePassive()
	}
	if b.sent {
		b.store.warnOnce("late", "lifecycle: the middleware got a request whose response had begun: the handlers before it ran without its session, and no cookie can be set. "+
			"Perhaps one function calls what sessions.Sessions returns, which runs the handlers, and then this middleware: "+
			"use the Middleware of a manager made by lifecycle.New alone there, which installs the session itself")
	}
	b.load()
	if b.err == nil || b.state == unreadable {
		// After Shutdown requests are still served and created hooks run: only the background
		// work has stopped.
		if err := m.start(c.Request.Context(), b.store); err != nil && !errors.Is(err, ErrShutdown) {
			b.err = err
		}
	}
	if b.state == unreadable && m.config.endUnreadable && errors.Is(b.err, ErrUndecodable) {
		if err := b.destroy(ReasonUndecodable); err != nil && !errors.Is(err, ErrSessionEnded) {
			b.err = err
		}
	}
	if b.err != nil {
		m.startFailed(b.err)
		return b.err
	}
	b.restoreTimeouts()
	begunBefore := b.state == live && b.fresh // by the Save of a handler before this one, without hooks
	if allow := m.config.crossSite; b.withheld == withheldForeign && allow != nil {
		allowed := false
		_ = b.unlocked(func() error { allowed = allow(c); return nil }) // it may use the response and the session, which lock mu
		if allowed {
			b.withheld = ""
		}
	}
	// A visitor who follows a link from another site sends no Strict cookie. A new session
	// would replace his own. And the cookie of one that begins with a WebSocket may never
	// reach the client.
	stray := cookie.IsWebSocket(c.Request) || b.header == "" && b.session.Options.SameSite == http.SameSiteStrictMode && cookie.IsForeignLink(c.Request)
	switch {
	case (b.state == absent || b.state == destroyed) && !m.config.lazy && !stray && b.withheldError() == nil:
		b.err = b.begin()
	case begunBefore && b.state == live:
		defer b.hooks.beginning(b.token.ID)()
		b.startKeeping()
		b.err = b.introduce()
	default:
		b.startKeeping()
	}
	return b.err
}

// session returns the request's session, and how gin-contrib shows it. It is not read from Redis
// yet, unless a handler before the middleware has read it. The error says how the middleware is
// used wrongly.
func (m *Manager) session(c *gin.Context, all *bindings, outer *binding) (*binding, face, error) {
	all.deferred = true
	defer func() { all.deferred = false }()
	found, _ := c.Get(sessions.DefaultKey)
	store, err := m.storeFor(found)
	if err != nil {
		return nil, face{}, err
	}
	if err := m.serve(store); err != nil && !errors.Is(err, ErrShutdown) { // requests are still served
		return nil, face{}, err
	}
	name, own := m.config.sessionName, m.config.ownName
	left := found
	if many, ok := found.(map[string]sessions.Session); ok {
		if found, ok = many[name]; !ok {
			return nil, face{}, fmt.Errorf("lifecycle: Middleware: sessions.SessionsMany before it has no session %q: name one of its sessions with WithSessionName", name)
		}
	}
	b := bindingOf(found)
	switch {
	case b != nil && b.store == store && (own == "" || b.name == own) && b.bound && b.owner != any(m):
		return nil, face{}, nameTaken(b.name)
	case b != nil && b.store == store && (own == "" || b.name == own):
		return b, face{found.(sessions.Session), left}, nil
	case b != nil && m.implicit:
		return nil, face{}, fmt.Errorf("lifecycle: Middleware: a middleware before this one has given the request the session %q, and WithSessionName says %q: give both the same name, or use the Middleware of a manager made by lifecycle.New", b.name, own)
	case nameOf(found) == name:
		return nil, face{}, fmt.Errorf("lifecycle: Middleware: a middleware before this one has given the request a session %q of another store, and this manager's session has the same name: give one of them another name, with WithSessionName", name)
	}
	for o := outer; o != nil; o = o.outer {
		if o.name == name && o.owner != any(m) {
			return nil, face{}, nameTaken(name)
		}
	}
	b, shown := install(c, store, name)
	return b, shown, nil
}

func nameTaken(name string) error {
	return fmt.Errorf("lifecycle: Middleware: the middleware of another manager before this one has a session %q: give each manager a name of its own, with WithSessionName", name)
}

// storeFor returns the manager's store. The default manager takes that of the session before
// it, if it has none yet.
func (m *Manager) storeFor(found any) (*Store, error) {
	m.mu.Lock()
	store := m.store
	m.mu.Unlock()
	if store != nil && !m.implicit {
		return store, nil
	}
	if many, ok := found.(map[string]sessions.Session); ok {
		for _, s := range many {
			if found = s; bindingOf(s) != nil {
				break
			}
		}
	}
	switch b := bindingOf(found); {
	case b != nil:
		return b.store, nil
	case found != nil:
		return nil, fmt.Errorf("lifecycle: Middleware: the gin-contrib session before it is kept by a %T: make its store with lifecycle.NewStore, or use the Middleware of a manager made by lifecycle.New", keptBy(found))
	case store == nil:
		return nil, errors.New("lifecycle: Middleware: there is no session: put router.Use(sessions.Sessions(\"session\", store)) before it, or use the Middleware of a manager made by lifecycle.New")
	}
	return store, nil
}

// gorillaSession returns the gorilla session behind a session of gin-contrib, nil if there is
// none. gin-contrib's interface does not give it; its type does.
func gorillaSession(found any) *gsessions.Session {
	s, ok := found.(interface{ Session() *gsessions.Session })
	if !ok {
		return nil
	}
	return s.Session()
}

func bindingOf(found any) *binding {
	if g := gorillaSession(found); g != nil {
		b, _ := g.Store().(*binding)
		return b
	}
	return nil
}

func keptBy(found any) any {
	if g := gorillaSession(found); g != nil {
		return g.Store()
	}
	return found
}

func nameOf(found any) string {
	if g := gorillaSession(found); g != nil {
		return g.Name()
	}
	return ""
}

// install puts a session of gin-contrib into the request's context, as sessions.Sessions
// does. That function also runs the rest of the chain, which must wait for the session. So
// it gets a gin context without a chain.
func install(c *gin.Context, store *Store, name string) (*binding, face) {
	bare := &gin.Context{Request: c.Request, Writer: c.Writer}
	sessions.Sessions(name, store)(bare)
	found, _ := bare.Get(sessions.DefaultKey)
	c.Set(sessions.DefaultKey, found)
	return bindingOf(found), face{found.(sessions.Session), found}
}
