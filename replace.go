package lifecycle

import (
	"fmt"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

func (b *binding) encode(values map[any]any) ([]byte, error) {
	if len(values) == 0 {
		return nil, nil
	}
	data, err := encodeValues(b.store.config.codec, values)
	if err != nil {
		return nil, b.store.unencodable(values, err)
	}
	if limit := b.store.config.maxValues; limit > 0 && len(data) > limit {
		return nil, b.store.tooLarge(values, len(data))
	}
	return data, nil
}

// replace saves the values and the options of a live session, which edit puts into the record. It
// sends the cookie only if the token or the form of the cookie changes. A cookie that the browser
// already has is not sent: this request may be answered long after another request has rotated the
// session, and the browser would lose the new cookie.
func (b *binding) replace(edit func(*record.Record) error) error {
	had, before := b.token, b.store.canonical(cookieOptions(b.record.Cookie, b.store.options.Load()))
	if err := b.update("save", edit); err != nil {
		return err
	}
	b.session.IsNew = false
	if !b.token.Same(had) || *b.session.Options != before || b.fresh || !b.setAt.IsZero() || !b.bound { // without a middleware it is not sent later
		b.sendCookie()
	}
	return nil
}

// edit puts the values and the options of the session into its record.
func (b *binding) edit(rec *record.Record) (err error) {
	store := b.store.options.Load()
	if rec.Values, err = b.encode(b.session.Values); err != nil {
		return err
	}
	if b.session.Options.MaxAge != cookieOptions(rec.Cookie, store).MaxAge {
		rec.Own = 0
	}
	if rec.Own == 0 {
		rec.Timeouts = b.store.timeouts(b.session.Options, rec.Created, rec.Timeouts.Deadline)
	} else {
		rec.Timeouts.Idle = rec.Own
	}
	rec.Cookie = ownCookie(*b.session.Options, *store)
	return nil
}

// setTimeouts gives the session timeouts of its own.
func (b *binding) setTimeouts(idle, absolute time.Duration) error {
	if err := duration("SetTimeouts: idle", idle, time.Millisecond, token.MaxTimeout); err != nil {
		return fmt.Errorf("lifecycle: %w", err)
	}
	if err := durationOrOff("SetTimeouts: absolute", absolute, token.MaxTimeout); err != nil {
		return fmt.Errorf("lifecycle: %w", err)
	}
	if err := b.needLive(); err != nil {
		return err
	}
	t := token.Timeouts{Idle: idle.Truncate(time.Millisecond)}
	if absolute > 0 {
		t.Deadline = b.clock().Add(absolute).UnixMilli()
	}
	err := b.update("set timeouts", func(rec *record.Record) error {
		rec.Own, rec.Timeouts = t.Idle, t
		return nil
	})
	if err == nil {
		b.sendCookie()
	}
	return err
}

// restoreTimeouts puts the session's own idle timeout in force again, where an instance of a
// release without such timeouts has saved the session. If it fails, the next request tries again.
func (b *binding) restoreTimeouts() {
	if b.state != live || b.passive || b.record.Own == 0 || b.record.Own == b.record.Timeouts.Idle {
		return
	}
	err := b.update("restore timeouts", func(rec *record.Record) error {
		if rec.Own > 0 { // another request may have given them up
			rec.Timeouts.Idle = rec.Own
		}
		return nil
	})
	b.resend = b.resend || err == nil
}
