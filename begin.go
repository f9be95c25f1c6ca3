package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// begin begins the session, sets its cookie and runs the created hooks. If the request is
// cancelled meanwhile, the session still begins as a whole.
func (b *binding) begin() error {
	s := b.store
	if err := b.withheldError(); err != nil {
		return err
	}
	if !b.canSend() {
		return ErrHeadersWritten
	}
	values, err := b.encode(b.session.Values)
	if err != nil {
		return err
	}
	f := s.canonical(b.session.Options) // Save has done this already, the middleware has not
	f.MaxAge = max(f.MaxAge, 0)
	b.session.Options = &f
	if err := s.checkCookie(b.name, f); err != nil {
		return fmt.Errorf("lifecycle: begin a session: %w", err)
	}
	ctx := context.WithoutCancel(b.request.Context())
	if err := s.ledger.Open(ctx); err != nil {
		return unavailable("open", err)
	}
	finish, err := b.create(ctx, values)
	// While a cluster moves a bucket to another server, no session can begin in it. Try
	// another ID, most likely of another bucket.
	for range maxDraws - 1 {
		if !ledger.IsMoving(err) {
			break
		}
		finish, err = b.create(ctx, values)
	}
	if err != nil {
		return err
	}
	defer finish()
	b.sendCookie()
	b.startKeeping()
	return b.introduce()
}

// renew ends the session, if there is one, and begins another.
func (b *binding) renew() error {
	if b.err != nil && b.state != unreadable {
		return b.err
	}
	if !b.canSend() {
		return ErrHeadersWritten
	}
	next := b.session.Options
	if b.state != absent && b.state != destroyed {
		next = b.store.options.Load() // see forget
	}
	if b.withheld != "" && (b.withheld != withheldForeign || next.SameSite != http.SameSiteNoneMode) {
		return b.withheld
	}
	err := b.destroy(ReasonDestroyed)
	if err != nil && !errors.Is(err, ErrSessionEnded) && !errors.Is(err, ErrNoSession) {
		return err
	}
	clear(b.session.Values) // also of a session that had not begun
	return b.begin()
}

// introduce shows a session that has just begun to the created hooks. It saves what they have
// set. If that fails, it ends the session: the hooks do not run again, so no later request
// would see what they have set.
func (b *binding) introduce() error {
	shown := b.snapshot().settable()
	err := b.unlocked(func() error { return b.hooks.runCreated(b.request, shown) })
	if err != nil {
		b.refuse()
		return err
	}
	set := shown.seal()
	if len(set) == 0 {
		return nil
	}
	maps.Copy(b.session.Values, set)
	if err := b.replace(b.edit); err != nil {
		b.refuse()
		return err
	}
	return nil
}

// refuse ends a session that has just begun. The request has no session then.
func (b *binding) refuse() {
	_ = b.destroy(ReasonDestroyed) // if this fails, the session ends at its timeout
	b.expireCookie()
	b.state = ended
}

// unlocked calls f without the lock that the caller has. f is the application's code, which
// may use the session.
func (b *binding) unlocked(f func() error) error {
	b.mu.Unlock()
	defer b.mu.Lock()
	return f()
}

// maxDraws is how many IDs are tried at most for a session that is to begin.
const maxDraws = 4

// create creates the session under a new ID. From then on the session's destroyed hooks in
// this process wait until finish is called.
func (b *binding) create(ctx context.Context, values []byte) (finish func(), err error) {
	s := b.store
	t := token.New(b.mark(), token.Timeouts{})
	now := s.ledger.ClockOf(t.ID).Unix()
	t = t.WithTimeouts(s.timeouts(b.session.Options, now, -1))
	rec := record.Record{
		Proof:    t.Proof(),
		Created:  now,
		Timeouts: t.Timeouts(),
		Cookie:   ownCookie(*b.session.Options, *s.options.Load()),
		Request:  summary(b.request, b.clientIP(), b.headers, s.config.summary),
		Values:   values,
	}
	packed, life := record.Pack(rec), s.config.unconfirmedLife(rec.Timeouts.Idle)
	finish = b.hooks.beginning(t.ID) // before the session can end
	ok, err := s.ledger.Create(ctx, t, life, packed)
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
	b.token, b.record, b.packed, b.revision, b.state = t, rec, packed, ledger.FirstRevision, live
	b.session.ID, b.session.IsNew, b.fresh = t.ID, true, true
	b.loading = ledger.Loaded{} // of an earlier session
	b.setEnd(life)
	return finish, nil
}
