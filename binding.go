package lifecycle

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle/internal/cookie"
	"github.com/gin-lifecycle/lifecycle/internal/keepalive"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// binding is one session as one request knows it. It is the Store of the gorilla session, so
// code that has the session can reach the binding. The values, like those of any gorilla
// session, belong to one goroutine at a time. The binding itself does not: a handler may have
// left a goroutine behind, or a middleware may have answered before the handler. What uses it
// from outside calls do, or locks mu.
type binding struct {
	store   *Store
	name    string
	session *gsessions.Session

	mu     sync.Mutex
	closed bool // the middleware has returned: see do
	state  state
	err    error // why the session could not be read or begun; such a session is never saved
	loaded bool

	token    token.Token
	record   record.Record
	packed   []byte // the record as Redis has it, as far as this request knows
	revision string // of packed; "" if it is not known

	past *past // the ended session whose token the request has brought, nil if there is none

	// fresh says that the session began in this request: the client has not sent its cookie
	// back yet.
	fresh bool
	// withheld says why no session may begin in this request; "" if one may.
	withheld withheld

	// resend says that the cookie must be sent with the response even if nothing is saved.
	resend      bool
	setAt       time.Time      // when it was set for this response; zero if it was not
	place       *cookie.Place  // where the browser has the session's cookie, nil if it has none
	otherPlaces []cookie.Place // where it may have others, if the request brought several
	lines       cookie.Lines
	// header is the header field that has the token in this request, instead of a cookie; ""
	// if a cookie has it.
	header string

	hooks   hooks
	shared  *shared           // with the request's other sessions
	keeping keepalive.Running // while the handler runs
	request *http.Request
	writer  http.ResponseWriter // that of Save; nil behind a middleware

	// Set by a middleware.
	bound   bool          // there is a middleware
	sent    bool          // the header of the response has been sent
	owner   any           // the middleware's manager
	served  any           // gin's context, only to tell it from others: see noteClient
	outer   *binding      // of the lifecycle middleware around this one, nil if there is none
	face                  // how gin-contrib shows it
	passive bool          // the request does not prolong the session, and none begins
	loading ledger.Loaded // how the session was read
	ends    time.Time     // when it ends, if the request is passive: it does not prolong it
	address string        // of the client
	proxied bool          // a proxy that gin trusts says that it got the request over TLS
	headers []string      // of WithRequestHeaders
}

// face is a session as gin-contrib/sessions shows it.
type face struct {
	values sessions.Session
	found  any // what it has left in gin's context: values, or those of SessionsMany
}

// do calls f while nobody else uses the binding. After the request it returns ErrRequestOver,
// and nothing of the session or the response is touched.
func (b *binding) do(f func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrRequestOver
	}
	return f()
}

// close closes the binding. It waits for a call of do that is under way.
func (b *binding) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.keeping.End()
}

// canSend reports whether the header of the response can still be changed.
func (b *binding) canSend() bool {
	if b.bound {
		return !b.closed && !b.sent
	}
	w, ok := b.writer.(interface{ Written() bool })
	return !b.closed && (!ok || !w.Written())
}

// past is what a request has found under a token that it has brought and that has proven
// itself: the session of the token has ended.
type past struct {
	token    token.Token
	deadline int64       // the absolute deadline, in Unix ms, 0 for none
	end      *ledger.End // nil if Redis must be asked how it ended
}

// hooks is what a session needs of a manager as it begins and ends. A Manager is one;
// noHooks is for a store without a manager.
type hooks interface {
	// beginning is called before the session begins. The session's destroyed hooks in
	// this process wait until finish is called.
	beginning(id string) (finish func())
	// runCreated runs the created hooks. An error refuses the session.
	runCreated(r *http.Request, s *Session) error
	// end ends the session; see ledger.Ledger.End for proof and ok.
	end(ctx context.Context, id, proof string, reason Reason) (ok bool, err error)
	// hold registers a closure of a live session; remove takes it back. It calls watch to note
	// in Redis that the instance has closures of it; watch returns the session's record.
	hold(id string, c closure, watch func(instance string) (record []byte, err error)) (remove func() bool, err error)
	// sessionContext returns a context that ends with a live session; see hold for watch.
	sessionContext(id string, watch func(instance string) (record []byte, err error)) context.Context
	// keeper keeps sessions alive; nil if no manager is at work.
	keeper() *keepalive.Keeper
}

// noHooks stands in where no manager is at work: no hooks run, and an ended session waits
// for an instance that has been started.
type noHooks struct{ store *Store }

func (noHooks) beginning(string) (finish func())         { return func() {} }
func (noHooks) runCreated(*http.Request, *Session) error { return nil }

func (noHooks) hold(string, closure, func(string) ([]byte, error)) (remove func() bool, err error) {
	return nil, ErrShutdown
}

func (noHooks) sessionContext(string, func(string) ([]byte, error)) context.Context {
	return endedContext(ErrShutdown)
}

func (noHooks) keeper() *keepalive.Keeper { return nil }

func (n noHooks) end(ctx context.Context, id, proof string, reason Reason) (ok bool, err error) {
	_, ok, err = n.store.ledger.End(ctx, id, proof, string(reason), ledger.ClaimTerms{})
	return ok, unavailable("end", err)
}

type state int

const (
	absent     state = iota // there is no session; begin begins one
	live                    // there is one
	unreadable              // there is one, but it cannot be decoded: it can only be ended
	ended                   // it has ended, or another request has rotated it
	destroyed               // this request has ended it; begin begins another one
)

func (b *binding) needLive() error {
	switch {
	case b.err != nil:
		return b.err
	case b.state == ended || b.state == destroyed:
		return ErrSessionEnded
	case b.state == absent && b.withheld != "":
		return b.withheld
	case b.state == absent:
		return ErrNoSession
	}
	return nil
}

// withheldError returns an error if no session may begin in this request, and none is there.
func (b *binding) withheldError() error {
	if b.state != absent && b.state != destroyed || b.withheld == "" {
		return nil
	}
	if b.withheld == withheldForeign && b.session.Options.SameSite == http.SameSiteNoneMode {
		return nil // the application wants other sites to use the session
	}
	return b.withheld
}

// skip leaves the request without a session, even if it was read before the middleware.
func (b *binding) skip() {
	b.loaded, b.err = true, nil
	b.state, b.withheld, b.resend = absent, withheldSkipped, false
	b.session.ID, b.session.Values, b.session.IsNew = "", map[any]any{}, true
}

// unskip takes that back, where gin's HandleContext goes from a page that is skipped to one that
// is not.
func (b *binding) unskip() {
	if b.withheld == withheldSkipped {
		b.loaded, b.withheld = false, ""
	}
}

// clock returns the time by the clock of the Redis server that has the session.
func (b *binding) clock() time.Time {
	return time.UnixMilli(b.store.ledger.ClockOf(b.token.ID).Unix())
}

// unconfirmed reports whether the session began in this request and lives for the unconfirmed
// timeout, unless the client has sent its cookie back meanwhile: while this request sends a
// stream, for example. So a Save leaves the session's end as it is.
func (b *binding) unconfirmed() bool { return b.fresh && b.store.config.unconfirmed > 0 }

// idle returns by how much a request prolongs a session with this idle timeout. A session
// that began in this request is not prolonged: the client has not sent its cookie back yet.
func (b *binding) idle(timeout time.Duration) time.Duration {
	if !b.unconfirmed() {
		return timeout
	}
	first := b.record.Created + b.store.config.unconfirmedLife(timeout).Milliseconds()
	left := time.Duration(first-b.clock().UnixMilli()) * time.Millisecond
	return min(timeout, max(left, time.Millisecond))
}

// snapshot returns the session as it is at this moment of the request, with the values that were
// saved last. It does not read the session's own values: another goroutine may change them.
func (b *binding) snapshot() *Session {
	now := b.store.ledger.ClockOf(b.token.ID).Unix()
	if b.passive {
		return liveSession(b.store.config.codec, b.token.ID, b.record, now, b.ends.UnixMilli()-now)
	}
	left := b.idle(b.record.Timeouts.Idle).Milliseconds()
	if d := b.record.Timeouts.Deadline; d != 0 {
		left = min(left, d-now)
	}
	p := liveSession(b.store.config.codec, b.token.ID, b.record, now, left)
	p.LastSeenAt = time.UnixMilli(now)
	return p
}

// sendCookie sets the cookie, and removes the others that the browser has. Behind a
// middleware the header gets the lines just before it is sent, or when somebody reads it, so
// only the goroutine that writes the response changes the header.
func (b *binding) sendCookie() {
	b.resend = false
	if !b.canSend() {
		return
	}
	b.token, b.setAt = b.token.Sent(b.clock()), time.Now()
	b.shared.issue(b.token)
	if b.header != "" {
		b.lines.SetField(b.header, b.token.String())
	} else {
		f := b.form()
		f.MaxAge = max(f.MaxAge, 0) // a MaxAge below 0 that was not saved removes nothing
		b.lines.Set(b.name, b.token.String(), f, b.stalePlaces())
	}
	b.applyLines()
}

// expireCookie removes the cookie from every place where the browser may have it. In a
// request in which the session is withheld the visitor's cookie stays.
func (b *binding) expireCookie() {
	b.resend = false
	if b.state == absent && b.withheldError() != nil || !b.canSend() {
		return
	}
	if b.header != "" {
		b.lines.SetField(b.header, "")
	} else {
		f := b.form()
		places := append(b.stalePlaces(), cookie.PlaceOf(f), cookie.PlaceOf(*b.store.options.Load()))
		b.lines.Set(b.name, "", f, places)
	}
	b.applyLines()
}

// applyLines puts the lines into the header at once if there is no middleware to do it later.
func (b *binding) applyLines() {
	if !b.bound {
		b.lines.Apply(b.writer.Header())
		cookie.MarkCached(b.writer.Header(), b.store.config.tokenHeader)
	}
}

// mark returns the mark of the tokens that are good in this request.
func (b *binding) mark() token.Mark { return b.markIn(b.header) }

// markIn returns the mark of the tokens in this header field, "" for those in cookies.
func (b *binding) markIn(field string) token.Mark {
	name := b.name
	if field != "" {
		name = field + ": " + name // no cookie has such a name
	}
	return token.MarkOf(b.store.config.prefix, name)
}

// stalePlaces returns the places from which to remove the cookie, unless it is set there: the
// place where the session's cookie was, and those of a request with several cookies.
func (b *binding) stalePlaces() []cookie.Place {
	places := slices.Clone(b.otherPlaces)
	if b.place != nil {
		places = append(places, *b.place)
	}
	return places
}

// form returns the cookie's form for this request.
func (b *binding) form() cookie.Form {
	s := b.store
	f := s.canonical(b.session.Options)
	f.Secure = f.Secure || cookie.NeedsSecure(b.name) || s.config.secure == SecureAlways ||
		s.config.secure == SecureAuto && b.cameOverTLS()
	return f
}

// clientIP returns the address of the client.
func (b *binding) clientIP() string {
	if b.address != "" {
		return b.address
	}
	host, _, err := net.SplitHostPort(b.request.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

func (b *binding) cameOverTLS() bool { return b.request.TLS != nil || b.proxied }

// noteClient notes what gin knows of the client, for a session that may begin, or a cookie that
// may be set, later in the request. gin's context is not kept: the session may be used by
// another goroutine, while the handler uses the context, or gin uses it for another request.
func (b *binding) noteClient(c *gin.Context) {
	b.address = c.ClientIP()
	b.proxied = b.store.config.secure == SecureAuto && forwardedTLS(c)
}
