package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
)

// Save does what the session's options and state ask for: it destroys, begins or replaces
// the session.
func (b *binding) Save(r *http.Request, w http.ResponseWriter, g *gsessions.Session) error {
	return b.do(func() error {
		if !b.bound {
			b.request, b.writer = r, w
		}
		if g.Options == nil {
			o := *b.store.options.Load()
			g.Options = &o
		}
		b.session.Values, b.session.Options = g.Values, g.Options
		return b.save()
	})
}

func (b *binding) save() error {
	o := b.session.Options
	if b.err != nil && (o.MaxAge >= 0 || b.state != unreadable) {
		return b.err
	}
	f := b.store.canonical(o)
	b.store.warnOptions(o, f)
	*o = f
	if err := b.withheldError(); err != nil {
		return err
	}
	cleared := b.store.config.endCleared && b.state == live && len(b.session.Values) == 0 && len(b.record.Values) > 0
	if f.MaxAge < 0 || cleared {
		err := b.destroy(ReasonDestroyed)
		if errors.Is(err, ErrNoSession) {
			b.expireCookie()
			return nil
		}
		if err != nil && !errors.Is(err, ErrSessionEnded) {
			return err
		}
		return nil // it is gone, as asked
	}
	if err := b.store.checkCookie(b.name, f); err != nil {
		return fmt.Errorf("lifecycle: Save: %w", err)
	}
	switch {
	case b.state == ended:
		return ErrSessionEnded
	case b.state == destroyed && len(b.session.Values) == 0:
		return nil // nothing is to begin
	case b.state != live:
		return b.begin()
	}
	return b.replace()
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

// replace saves the values and the options of a live session. It sends the cookie only if
// the token or the form of the cookie changes. A cookie that the browser already has is not
// sent: this request may be answered long after another request has rotated the session, and
// the browser would lose the new cookie.
func (b *binding) replace() error {
	had, before := b.token, b.store.canonical(cookieOptions(b.record.Cookie, b.store.options.Load()))
	ctx := context.WithoutCancel(b.request.Context())
	if err := b.whileLive(ctx, "save", func() (bool, error) { return b.saveMerged(ctx) }); err != nil {
		return err
	}
	b.session.IsNew = false
	if !b.token.Same(had) || *b.session.Options != before || b.fresh || !b.setAt.IsZero() || !b.bound { // without a middleware it is not sent later
		b.sendCookie()
	}
	return nil
}

// saveMerged saves the session. While other requests come between, it puts what this request
// has changed on top of what they have saved, and saves again. ok is false if the session is
// not live under the binding's token.
func (b *binding) saveMerged(ctx context.Context) (ok bool, err error) {
	limit := b.store.config.redisTimeout
	for began, tries := time.Now(), 0; ; tries++ {
		saving, rec, err := b.saving()
		if err != nil {
			return false, err
		}
		x, err := b.store.ledger.Save(ctx, saving)
		if err != nil {
			return false, unavailable("save", err)
		}
		if x.OK {
			b.token, b.record, b.packed, b.revision = saving.Next, rec, saving.Record, x.Revision
			return true, nil
		}
		if len(x.Record) == 0 {
			return false, nil
		}
		if ok, err := b.rebase(x.Record, x.Revision); !ok {
			return false, err
		}
		if time.Since(began) > limit {
			return false, fmt.Errorf("%w: save: other requests save the session all the time", ErrUnavailable)
		}
		if err := pauseAfter(ctx, tries); err != nil {
			return false, unavailable("save", err)
		}
	}
}

// saving returns what is to be saved, with the record in it.
func (b *binding) saving() (ledger.Saving, record.Record, error) {
	s, rec := b.store, b.record
	values, err := b.encode(b.session.Values)
	if err != nil {
		return ledger.Saving{}, rec, err
	}
	now := s.ledger.ClockOf(b.token.ID).Unix()
	rec.Rotated = slices.DeleteFunc(slices.Clone(rec.Rotated), func(x record.Rotated) bool { return x.Until <= now })
	rec.Values = values
	rec.Cookie = ownCookie(*b.session.Options, *s.options.Load())
	rec.Timeouts = s.timeouts(b.session.Options, rec.Created, rec.Timeouts.Deadline)
	next := b.token.WithTimeouts(rec.Timeouts)
	rec.Proof = next.Proof()
	return ledger.Saving{
		Token:    b.token,
		Next:     next,
		Idle:     b.prolongedBy(rec.Timeouts.Idle),
		Record:   record.Pack(rec),
		Revision: b.revision,
	}, rec, nil
}

// prolongedBy returns by how much a save prolongs the session; 0 for not at all.
func (b *binding) prolongedBy(idle time.Duration) time.Duration {
	if b.passive {
		return 0
	}
	return b.idle(idle)
}

// The pause before a save is tried again is up to as many ms as there were tries before it,
// and maxPause at most.
const maxPause = 50 * time.Millisecond

// pauseAfter waits before another try. The first two follow at once.
func pauseAfter(ctx context.Context, tries int) error {
	if tries < 2 {
		return nil
	}
	pause := time.NewTimer(rand.N(min(time.Duration(tries)*time.Millisecond, maxPause)))
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-pause.C:
		return nil
	}
}
