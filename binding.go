package lifecycle

import (
	"context"
	"errors"
	"fmt"
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
	// hold registers a hook for the end of the live session b.
	hold(ctx context.Context, b *binding, h Hook) error
}

// noHooks stands in where no manager is at work: no hooks run, and an ended session waits
// for an instance that has been started.
type noHooks struct{ store *Store }

func (noHooks) beginning(string) (finish func())           { return func() {} }
func (noHooks) runCreated(*http.Request, *Session) error   { return nil }
func (noHooks) hold(context.Context, *binding, Hook) error { return ErrShutdown }

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

func (s *Store) bind(name string) *binding {
	b := &binding{store: s, name: name, hooks: noHooks{s}}
	b.session = gsessions.NewSession(b, name)
	*b.session.Options = *s.options.Load()
	b.session.IsNew = true
	return b
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

// Get and New make binding a gorilla Store.
func (b *binding) Get(r *http.Request, name string) (*gsessions.Session, error) {
	return b.store.Get(r, name)
}

func (b *binding) New(r *http.Request, name string) (*gsessions.Session, error) {
	return b.store.New(r, name)
}

// Save does what the session's options and state ask for: it destroys, begins or replaces
// the session.
func (b *binding) Save(r *http.Request, w http.ResponseWriter, g *gsessions.Session) error {
	if b.err != nil {
		return b.err
	}
	if g.Options == nil {
		o := *b.store.options.Load()
		g.Options = &o
	}
	f := b.store.canonical(g.Options)
	b.store.warnOptions(g.Options, f)
	g.Options = &f
	if err := b.withheldError(); err != nil {
		return err
	}
	if f.MaxAge < 0 {
		err := b.destroy(r.Context(), ReasonDestroyed)
		if err != nil && !errors.Is(err, ErrSessionEnded) && !errors.Is(err, ErrNoSession) {
			return err
		}
		b.expireCookie(r, w)
		return nil // it is gone, as asked
	}
	if err := b.store.checkCookie(b.name, f); err != nil {
		return fmt.Errorf("lifecycle: Save: %w", err)
	}
	values, err := b.encode(g.Values)
	if err != nil {
		return err
	}
	switch b.state {
	case ended:
		return ErrSessionEnded
	case absent:
		return b.begin(r, w, values)
	}
	return b.replace(r, w, values)
}

func (b *binding) encode(values map[any]any) ([]byte, error) {
	if len(values) == 0 {
		return nil, nil
	}
	data, err := b.store.config.codec.Encode(values)
	if err != nil {
		return nil, fmt.Errorf("lifecycle: encode the session's values: %w", err)
	}
	if limit := b.store.config.maxValues; limit > 0 && len(data) > limit {
		return nil, &ValuesTooLargeError{Size: len(data), Limit: limit}
	}
	return data, nil
}

// begin begins the session, sets its cookie and runs the created hooks. If the request is
// cancelled meanwhile, the session still begins as a whole.
func (b *binding) begin(r *http.Request, w http.ResponseWriter, values []byte) error {
	s := b.store
	if err := b.withheldError(); err != nil {
		return err
	}
	if rw, ok := w.(interface{ Written() bool }); ok && rw.Written() {
		return ErrHeadersWritten
	}
	f := s.canonical(b.session.Options) // Save has done this already, the middleware has not
	f.MaxAge = max(f.MaxAge, 0)
	b.session.Options = &f
	if err := s.checkCookie(b.name, f); err != nil {
		return fmt.Errorf("lifecycle: begin a session: %w", err)
	}
	ctx := context.WithoutCancel(r.Context())
	if err := s.ledger.Open(ctx); err != nil {
		return unavailable("open", err)
	}
	finish, err := b.create(ctx, r, values)
	// While a cluster moves a bucket to another server, no session can begin in it. Try
	// another ID, most likely of another bucket.
	for range maxDraws - 1 {
		if !ledger.IsMoving(err) {
			break
		}
		finish, err = b.create(ctx, r, values)
	}
	if err != nil {
		return err
	}
	defer finish()
	b.sendCookie(r, w)
	if err := b.hooks.runCreated(r, b.snapshot()); err != nil {
		_ = b.destroy(ctx, ReasonDestroyed) // if this fails, the session ends at its timeout
		b.expireCookie(r, w)
		return err
	}
	return nil
}

// maxDraws is how many IDs are tried at most for a session that is to begin.
const maxDraws = 4

// create creates the session under a new ID. From then on the session's destroyed hooks in
// this process wait until finish is called.
func (b *binding) create(ctx context.Context, r *http.Request, values []byte) (finish func(), err error) {
	s := b.store
	t := token.New(token.MarkOf(s.config.prefix, b.name), token.Timeouts{})
	now := s.ledger.ClockOf(t.ID).Unix()
	t = t.WithTimeouts(s.timeouts(b.session.Options, now, -1))
	rec := record.Record{
		Proof:    t.Proof(),
		Created:  now,
		Timeouts: t.Timeouts(),
		Cookie:   ownCookie(*b.session.Options, *s.options.Load()),
		Request:  b.summary(r),
		Values:   values,
	}
	packed := record.Pack(rec)
	finish = b.hooks.beginning(t.ID) // before the session can end
	ok, err := s.ledger.Create(ctx, t, s.config.unconfirmedLife(rec.Timeouts.Idle), packed)
	switch {
	case err != nil:
		err = unavailable("begin a session", err)
	case !ok:
		err = fmt.Errorf("%w: begin a session: its time was over at once", ErrUnavailable)
	}
	if err != nil {
		finish()
		return nil, err
	}
	b.token, b.record, b.packed, b.state = t, rec, packed, live
	b.session.ID, b.session.IsNew, b.fresh = t.ID, true, true
	return finish, nil
}

// replace saves the values and the options of a live session. It sends the cookie only if
// the token or the form of the cookie changes. A cookie that the browser already has is not
// sent: this request may be answered long after another request has rotated the session, and
// the browser would lose the new cookie.
func (b *binding) replace(r *http.Request, w http.ResponseWriter, values []byte) error {
	s, ctx := b.store, context.WithoutCancel(r.Context())
	had, before := b.token, s.canonical(cookieOptions(b.record.Cookie, s.options.Load()))
	err := b.whileLive(ctx, "save", func() (bool, error) {
		rec := b.record
		now := s.ledger.ClockOf(b.token.ID).Unix()
		rec.Rotated = slices.DeleteFunc(slices.Clone(rec.Rotated), func(x record.Rotated) bool { return x.Until <= now })
		rec.Values = values
		rec.Cookie = ownCookie(*b.session.Options, *s.options.Load())
		rec.Timeouts = s.timeouts(b.session.Options, rec.Created, rec.Timeouts.Deadline)
		next := b.token.WithTimeouts(rec.Timeouts)
		rec.Proof = next.Proof()
		packed := record.Pack(rec)
		ok, err := s.ledger.Save(ctx, b.token, next, b.idle(rec.Timeouts.Idle), packed)
		if ok {
			b.token, b.record, b.packed = next, rec, packed
		}
		return ok, err
	})
	if err != nil {
		return err
	}
	b.session.IsNew = false
	if !b.token.Same(had) || *b.session.Options != before || b.fresh || !b.setAt.IsZero() || b.gin == nil { // without a middleware it is not sent later
		b.sendCookie(r, w)
	}
	return nil
}

// rotate gives the session a new secret. The caller has checked that the cookie can still be
// sent.
func (b *binding) rotate(r *http.Request, w http.ResponseWriter) error {
	if err := b.needLive(); err != nil {
		return err
	}
	ctx := context.WithoutCancel(r.Context())
	err := b.whileLive(ctx, "rotate", func() (bool, error) {
		next := b.token.Rotate()
		rotated, ok, err := b.store.ledger.Rotate(ctx, b.token, next, b.store.config.grace)
		if ok {
			b.token = next
			b.record.Proof, b.record.Rotated = next.Proof(), record.UnpackRotated(rotated)
			b.packed = record.Pack(b.record)
		}
		return ok, err
	})
	if err != nil {
		return err
	}
	b.sendCookie(r, w)
	return nil
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

// destroy ends the session; its hooks run in the background. If the session seems to have
// ended, Redis is asked all the same: it may have been rotated, and is live under another
// token.
func (b *binding) destroy(ctx context.Context, reason Reason) error {
	if err := b.needLive(); err != nil && b.state != ended {
		return err
	}
	ok, err := b.hooks.end(context.WithoutCancel(ctx), b.token.ID, b.token.Proof(), reason)
	if err != nil {
		return err
	}
	b.state = ended
	if !ok {
		return ErrSessionEnded
	}
	return nil
}

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
