package lifecycle

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle/internal/cookie"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// binding is one session as one request knows it. It is the Store of the gorilla session, so
// code that has the session can reach the binding. Like the session, it belongs to the
// goroutine of the request.
type binding struct {
	store   *Store
	name    string
	session *gsessions.Session
	state   state
	err     error // why the session could not be read; such a session is never saved
	loaded  bool

	token  token.Token
	record record.Record
	packed []byte // the record as Redis has it

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

	hooks hooks

	// Set by a middleware.
	gin     *gin.Context
	headers []string // of WithRequestHeaders
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
	// hold registers a hook for the end of a live session. It calls watch to note in Redis
	// that the instance has hooks for that end; watch returns the session's record.
	hold(id string, h Hook, watch func(instance string) (record []byte, err error)) error
}

// noHooks stands in where no manager is at work: no hooks run, and an ended session waits
// for an instance that has been started.
type noHooks struct{ store *Store }

func (noHooks) beginning(string) (finish func())                      { return func() {} }
func (noHooks) runCreated(*http.Request, *Session) error              { return nil }
func (noHooks) hold(string, Hook, func(string) ([]byte, error)) error { return ErrShutdown }

func (n noHooks) end(ctx context.Context, id, proof string, reason Reason) (ok bool, err error) {
	_, ok, err = n.store.ledger.End(ctx, id, proof, string(reason), ledger.ClaimTerms{})
	return ok, unavailable("end", err)
}

type state int

const (
	absent state = iota // there is no session; begin begins one
	live
	ended
)

func (b *binding) needLive() error {
	switch {
	case b.err != nil:
		return b.err
	case b.state == ended:
		return ErrSessionEnded
	case b.state == absent && b.withheld != "":
		return b.withheld
	case b.state == absent:
		return ErrNoSession
	}
	return nil
}

// withheldError returns an error if there is no session and none may begin.
func (b *binding) withheldError() error {
	if b.state != absent || b.withheld == "" {
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

// clock returns the time by the clock of the Redis server that has the session.
func (b *binding) clock() time.Time {
	return time.UnixMilli(b.store.ledger.ClockOf(b.token.ID).Unix())
}

// idle returns by how much a request prolongs a session with this idle timeout. A session
// that began in this request is not prolonged: the client has not sent its cookie back yet.
func (b *binding) idle(timeout time.Duration) time.Duration {
	if !b.fresh || b.store.config.unconfirmed == 0 {
		return timeout
	}
	first := b.record.Created + b.store.config.unconfirmedLife(timeout).Milliseconds()
	left := time.Duration(first-b.clock().UnixMilli()) * time.Millisecond
	return min(timeout, max(left, time.Millisecond))
}

// snapshot returns the session as it is at this moment of the request.
func (b *binding) snapshot() *Session {
	now := b.store.ledger.ClockOf(b.token.ID).Unix()
	left := b.idle(b.record.Timeouts.Idle).Milliseconds()
	if d := b.record.Timeouts.Deadline; d != 0 {
		left = min(left, d-now)
	}
	p := liveSession(b.store.config.codec, b.token.ID, b.record, now, left)
	p.LastSeenAt = time.UnixMilli(now)
	return p.withValues(b.session.Values)
}

// sendCookie sets the cookie, and removes the others that the browser has.
func (b *binding) sendCookie(r *http.Request, w http.ResponseWriter) {
	b.resend = false
	f := b.form(r)
	f.MaxAge = max(f.MaxAge, 0) // a MaxAge below 0 that was not saved removes nothing
	b.token, b.setAt = b.token.Sent(b.clock()), time.Now()
	b.lines.Set(w.Header(), b.name, b.token.String(), f, b.stalePlaces())
	cookie.MarkCached(w.Header())
}

// expireCookie removes the cookie from every place where the browser may have it. In a
// request in which the session is withheld the visitor's cookie stays.
func (b *binding) expireCookie(r *http.Request, w http.ResponseWriter) {
	b.resend = false
	if b.withheldError() != nil {
		return
	}
	f := b.form(r)
	places := append(b.stalePlaces(), cookie.PlaceOf(f), cookie.PlaceOf(*b.store.options.Load()))
	b.lines.Set(w.Header(), b.name, "", f, places)
	cookie.MarkCached(w.Header())
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
func (b *binding) form(r *http.Request) cookie.Form {
	s := b.store
	f := s.canonical(b.session.Options)
	f.Secure = f.Secure || cookie.NeedsSecure(b.name) || s.config.secure == SecureAlways ||
		s.config.secure == SecureAuto && (r.TLS != nil || b.gin != nil && forwardedTLS(b.gin))
	return f
}
