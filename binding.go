package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// binding is one session as one request knows it. It is the gorilla session's
// Store, so that whoever has the session has the binding. Like the session, it
// is for the request's goroutine only.
type binding struct {
	store   *Store
	name    string
	session *gsessions.Session
	state   state
	err     error // why the session could not be read; it is never saved then

	token  token.Token
	record record.Record
	packed []byte // the record as Redis has it

	// resend asks for the cookie to be sent even if nothing is saved.
	resend bool

	// Set by a middleware.
	manager *Manager
	gin     *gin.Context
}

type state int

const (
	absent state = iota // no session: it begins with begin
	live
	ended
)

func (s *Store) bind(name string) *binding {
	b := &binding{store: s, name: name}
	b.session = gsessions.NewSession(b, name)
	*b.session.Options = *s.options.Load()
	b.session.IsNew = true
	return b
}

// load binds the session that the request's cookie names, or none.
func (s *Store) load(r *http.Request, name string) *binding {
	b := s.bind(name)
	if !validCookieName(name) {
		b.err = fmt.Errorf("lifecycle: session name %q is not a cookie name", name)
		return b
	}
	if t, ok := readToken(r, name); ok {
		b.err = b.read(r.Context(), t)
	}
	return b
}

// read takes up the session that t names. If there is none, or no longer, the
// binding stays absent, and the visitor gets a new ID.
func (b *binding) read(ctx context.Context, t token.Token) error {
	s := b.store
	if err := s.ledger.Open(ctx); err != nil {
		return unavailable("open", err)
	}
	packed, ok, err := s.ledger.Load(ctx, t)
	if err != nil {
		return unavailable("load", err)
	}
	if !ok {
		return nil
	}
	rec, err := decodeRecord(packed)
	if err != nil {
		return err
	}
	if rec.Timeouts != t.Timeouts {
		// The cookie is older than the timeouts, or forged in this respect. Before
		// anything else: the live key may have been given far too long.
		t.Timeouts = rec.Timeouts
		ok, err := s.ledger.Save(context.WithoutCancel(ctx), t, nil)
		if err != nil {
			return unavailable("load", err)
		}
		if !ok {
			return nil
		}
		b.resend = true
	}
	if d := rec.Timeouts.Deadline; d != 0 && s.ledger.ClockOf(t.ID).Unix() > d {
		return nil
	}
	values := map[any]any{}
	if len(rec.Values) > 0 {
		if values, err = decodeValues(s.config.codec, rec.Values); err != nil {
			return err
		}
	}
	b.token, b.record, b.packed, b.state = t, rec, packed, live
	b.session.ID, b.session.Values, b.session.IsNew = t.ID, values, false
	b.session.Options = cookieOptions(rec.Cookie, s.options.Load())
	b.resend = b.resend || b.session.Options.MaxAge > 0
	return nil
}

// Get and New make binding a gorilla Store.
func (b *binding) Get(r *http.Request, name string) (*gsessions.Session, error) {
	return b.store.Get(r, name)
}

func (b *binding) New(r *http.Request, name string) (*gsessions.Session, error) {
	return b.store.New(r, name)
}

// Save does what the session's options and state ask for: destroy, begin or
// replace.
func (b *binding) Save(r *http.Request, w http.ResponseWriter, g *gsessions.Session) error {
	if b.err != nil {
		return b.err
	}
	if g.Options == nil {
		o := *b.store.options.Load()
		g.Options = &o
	}
	if g.Options.MaxAge < 0 {
		err := b.destroy(r.Context(), ReasonDestroyed)
		if err != nil && !errors.Is(err, ErrSessionEnded) && !errors.Is(err, ErrNoSession) {
			return err
		}
		b.expireCookie(r, w)
		return nil // it is gone, as asked
	}
	g.Options.MaxAge = min(g.Options.MaxAge, maxAge)
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

// begin begins the session, sets its cookie and runs the created hooks. A
// request that is cancelled meanwhile does not leave half a session behind.
func (b *binding) begin(r *http.Request, w http.ResponseWriter, values []byte) error {
	s := b.store
	if rw, ok := w.(interface{ Written() bool }); ok && rw.Written() {
		return ErrHeadersWritten
	}
	ctx := context.WithoutCancel(r.Context())
	if err := s.ledger.Open(ctx); err != nil {
		return unavailable("open", err)
	}
	finish, err := b.create(ctx, r, values)
	// Of a cluster's bucket that is on its way to another server: most others are not.
	for range draws - 1 {
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
	if b.manager == nil {
		return nil
	}
	if err := b.manager.runCreated(r, b.picture()); err != nil {
		_ = b.destroy(ctx, ReasonDestroyed) // otherwise its timeout ends it
		b.expireCookie(r, w)
		return err
	}
	return nil
}

// draws is how many IDs are drawn at most for a session that is to begin.
const draws = 4

// create creates the session under a new ID. From then on destroyed hooks in this
// process wait until finish is called.
func (b *binding) create(ctx context.Context, r *http.Request, values []byte) (finish func(), err error) {
	s := b.store
	t := token.New(token.Timeouts{})
	now := s.ledger.ClockOf(t.ID).Unix()
	t.Timeouts = s.timeouts(b.session.Options, now, -1)
	rec := record.Record{
		Proof:    t.Proof(),
		Created:  now,
		Timeouts: t.Timeouts,
		Cookie:   ownCookie(b.session.Options, s.options.Load()),
		Request:  b.summary(r),
		Values:   values,
	}
	packed := record.Pack(rec)
	finish = func() {}
	if b.manager != nil {
		finish = b.manager.beginning(t.ID) // before the session can end
	}
	ok, err := s.ledger.Create(ctx, t, packed)
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
	b.session.ID, b.session.IsNew = t.ID, true
	return finish, nil
}

// replace saves values and options of a live session.
func (b *binding) replace(r *http.Request, w http.ResponseWriter, values []byte) error {
	s := b.store
	rec := b.record
	rec.Values = values
	rec.Cookie = ownCookie(b.session.Options, s.options.Load())
	rec.Timeouts = s.timeouts(b.session.Options, rec.Created, rec.Timeouts.Deadline)
	packed := record.Pack(rec)
	t := b.token
	t.Timeouts = rec.Timeouts
	ok, err := s.ledger.Save(context.WithoutCancel(r.Context()), t, packed)
	if err != nil {
		return unavailable("save", err)
	}
	if !ok {
		b.state = ended
		return ErrSessionEnded
	}
	before := cookieOptions(b.record.Cookie, s.options.Load())
	b.token, b.record, b.packed = t, rec, packed
	b.session.IsNew = false
	b.sendCookie(r, w)
	if o := b.session.Options; o.Path != before.Path || o.Domain != before.Domain {
		// Left there, the old cookie would come along with the new one, and two of
		// a name are none.
		before.MaxAge = -1
		addCookie(r, w, b.name, "", before, s.config.secure)
	}
	return nil
}

// rotate gives the session a new secret; its cookie must still be sendable.
func (b *binding) rotate(r *http.Request, w http.ResponseWriter) error {
	if err := b.needLive(); err != nil {
		return err
	}
	next := b.token.Rotate()
	ok, err := b.store.ledger.Rotate(context.WithoutCancel(r.Context()), b.token, next)
	if err != nil {
		return unavailable("rotate", err)
	}
	if !ok {
		b.state = ended
		return ErrSessionEnded
	}
	b.token = next
	b.record.Proof = next.Proof()
	b.packed = record.Pack(b.record)
	b.sendCookie(r, w)
	return nil
}

// destroy ends the session; its hooks run in the background. Where it seems to have
// ended Redis is asked all the same: perhaps it was rotated, and lives on.
func (b *binding) destroy(ctx context.Context, reason Reason) error {
	if err := b.needLive(); err != nil && b.state != ended {
		return err
	}
	ok, err := b.store.end(context.WithoutCancel(ctx), b.manager, b.token.ID, b.token.Proof(), reason)
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
	case b.state == absent:
		return ErrNoSession
	}
	return nil
}

func (b *binding) sendCookie(r *http.Request, w http.ResponseWriter) {
	b.resend = false
	setCookie(r, w, b.name, b.token.String(), b.session.Options, b.store.config.secure)
}

func (b *binding) expireCookie(r *http.Request, w http.ResponseWriter) {
	b.resend = false
	o := *b.session.Options
	o.MaxAge = -1
	setCookie(r, w, b.name, "", &o, b.store.config.secure)
}

// picture returns the session as it is at this moment of the request.
func (b *binding) picture() *Session {
	now := b.store.ledger.ClockOf(b.token.ID).Unix()
	left := b.record.Timeouts.Idle.Milliseconds()
	if d := b.record.Timeouts.Deadline; d != 0 {
		left = min(left, d-now)
	}
	p := liveSession(b.store.config.codec, b.token.ID, b.record, now, left)
	p.LastSeenAt = time.UnixMilli(now)
	return p.withValues(b.session.Values)
}

// Limits of what is kept of a request, in bytes.
const (
	maxURI  = 2048
	maxText = 512
)

func (b *binding) summary(r *http.Request) record.Request {
	sum := record.Request{
		Method:    cut(r.Method, maxText),
		URI:       cut(r.URL.RequestURI(), maxURI),
		Host:      cut(r.Host, maxText),
		UserAgent: cut(r.UserAgent(), maxText),
	}
	if b.gin != nil {
		sum.ClientIP = cut(b.gin.ClientIP(), maxText)
	} else if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		sum.ClientIP = cut(host, maxText)
	}
	if b.manager != nil {
		for _, name := range b.manager.config.headers {
			for _, v := range r.Header[name] {
				sum.Header = append(sum.Header, record.Field{Name: name, Value: cut(v, maxText)})
			}
		}
	}
	return sum
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
