package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

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
		b.state = ended                     // for this request in any case
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
		Request:  summary(r, b.gin, b.headers, s.config.summary),
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

// whileLive changes the live session by calling do. do reports whether the session was live
// under the binding's token. If it was not, another request may have saved other timeouts,
// which changes the token and the name of the live key: whileLive then reads the record and
// calls do again. It calls do once more even if the token is still the same: the timeouts
// may have been changed and changed back.
func (b *binding) whileLive(ctx context.Context, op string, do func() (bool, error)) error {
	for same := 0; ; {
		ok, err := do()
		if err != nil {
			return unavailable(op, err)
		}
		if ok {
			return nil
		}
		before := b.token
		if ok, err = b.reload(ctx); err != nil {
			return err
		}
		if same++; !b.token.Same(before) {
			same = 0
		}
		if !ok || same > 1 {
			b.state = ended
			return ErrSessionEnded
		}
	}
}

// reload takes over the timeouts and the form of the cookie that another request has saved
// meanwhile. ok is false if there is no record, or the secret is not valid any more.
func (b *binding) reload(ctx context.Context) (ok bool, err error) {
	packed, err := b.store.ledger.Record(ctx, b.token.ID)
	if err != nil {
		return false, unavailable("load", err)
	}
	rec, err := decodeRecord(packed)
	if err != nil {
		return false, nil // the session has ended, or its record is lost
	}
	t := b.token.WithTimeouts(rec.Timeouts)
	if !t.Proves(rec.Proof) {
		return false, nil
	}
	store := b.store.options.Load()
	if *b.session.Options == *cookieOptions(b.record.Cookie, store) { // this request has not changed them
		b.session.Options = cookieOptions(rec.Cookie, store)
	}
	b.token, b.record, b.packed = t, rec, packed
	return true, nil
}

// watch notes in Redis that an instance has hooks for the session's end. It returns the
// session's record.
func (b *binding) watch(ctx context.Context, instance string) ([]byte, error) {
	err := b.whileLive(ctx, "register a hook", func() (bool, error) {
		return b.store.ledger.Watch(ctx, b.token.ID, b.token.Proof(), instance)
	})
	return b.packed, err
}
