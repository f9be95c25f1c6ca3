package lifecycle

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/merge"
	"github.com/gin-lifecycle/lifecycle/internal/record"
)

// rotate gives the session a new secret.
func (b *binding) rotate() error {
	if !b.canSend() {
		return ErrHeadersWritten
	}
	if err := b.needLive(); err != nil {
		return err
	}
	ctx := context.WithoutCancel(b.request.Context())
	err := b.whileLive(ctx, "rotate", func() (bool, error) {
		next := b.token.Rotate()
		rotated, ok, err := b.store.ledger.Rotate(ctx, b.token, next, b.store.config.grace)
		if ok {
			b.token = next
			b.record.Proof, b.record.Rotated = next.Proof(), record.UnpackRotated(rotated)
			b.packed = record.Pack(b.record)
		}
		return ok, unavailable("rotate", err)
	})
	if err != nil {
		return err
	}
	b.sendCookie()
	return nil
}

// destroy ends the session and removes the cookie; the hooks run in the background. If the
// session seems to have ended, Redis is asked all the same: it may have been rotated, and is
// live under another token. A later Save begins another session, so the values are cleared:
// they must not come back with it.
func (b *binding) destroy(reason Reason) error {
	switch err := b.needLive(); {
	case b.err != nil && b.state != unreadable:
		return b.err
	case b.state == destroyed:
		return ErrSessionEnded
	case err != nil && b.state != ended && b.state != unreadable:
		return err
	}
	ok, err := b.hooks.end(context.WithoutCancel(b.request.Context()), b.token.ID, b.token.Proof(), reason)
	if err != nil {
		return err
	}
	b.forget()
	if !ok {
		return ErrSessionEnded
	}
	return nil
}

// forget leaves the request without a session after its own has ended. The next one may begin.
func (b *binding) forget() {
	b.keeping.End()
	b.expireCookie()
	b.noteEnd()
	b.state, b.err, b.fresh = destroyed, nil, false
	b.session.ID, b.session.IsNew = "", true
	b.blank()
}

// blank leaves the handler without values, and with the store's options: those that have ended a
// session must not end the next one.
func (b *binding) blank() {
	clear(b.session.Values)
	o := *b.store.options.Load()
	b.session.Options = &o
}

// update saves the live session, after edit has changed its record. While other requests come
// between, it puts what this request has changed on top of what they have saved, and saves
// again: edit is called each time. Requests of one session that have got in each other's way
// take turns on this instance: otherwise one of many could lose again and again.
func (b *binding) update(op string, edit func(*record.Record) error) error {
	ctx := context.WithoutCancel(b.request.Context())
	if won, _, err := b.saveOnce(ctx, op, edit); won || err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, b.store.config.redisTimeout)
	defer cancel()
	done, err := b.store.turns.Take(limited, b.token.ID)
	if err != nil {
		return crowded(op, err)
	}
	defer done()
	return b.whileLive(ctx, op, func() (ok bool, err error) {
		for tries := 0; ; tries++ {
			won, ok, err := b.saveOnce(ctx, op, edit)
			if won || !ok || err != nil {
				return ok, err
			}
			if err := pauseAfter(limited, tries); err != nil { // another instance has saved
				return false, crowded(op, err)
			}
		}
	})
}

// crowded is the error of a save that other requests have prevented for too long.
func crowded(op string, err error) error {
	return fmt.Errorf("%w: %s: other requests save the session all the time: %w", ErrUnavailable, op, err)
}

// saveOnce tries to save the live session. won is false if another request has come between;
// the binding has then taken over what that one has saved. ok is false if the session is not
// live under the binding's token.
func (b *binding) saveOnce(ctx context.Context, op string, edit func(*record.Record) error) (won, ok bool, err error) {
	saving, rec, err := b.saving(edit)
	if err != nil {
		return false, false, err
	}
	x, err := b.store.ledger.Save(ctx, saving)
	if err != nil {
		return false, false, unavailable(op, err)
	}
	if !x.OK {
		if len(x.Record) > 0 {
			ok, err = b.rebase(x.Record, x.Revision)
		}
		return false, ok, err
	}
	before := b.record.Timeouts
	b.token, b.record, b.packed, b.revision = saving.Next, rec, saving.Record, x.Revision
	if saving.Idle > 0 {
		b.setEnd(saving.Idle)
	}
	if rec.Timeouts != before {
		b.startKeeping()
	}
	if rec.Timeouts.Idle < before.Idle {
		b.shortened()
	}
	return true, true, nil
}

// setEnd notes that the session lives for life from now on, unless its deadline comes before that.
func (b *binding) setEnd(life time.Duration) {
	b.ends = b.clock().Add(life)
	if d := b.record.Timeouts.Deadline; d != 0 && d < b.ends.UnixMilli() {
		b.ends = time.UnixMilli(d)
	}
}

// saving returns what is to be saved after edit, and the record in it.
func (b *binding) saving(edit func(*record.Record) error) (ledger.Saving, record.Record, error) {
	rec := b.record
	if err := edit(&rec); err != nil {
		return ledger.Saving{}, rec, err
	}
	now := b.clock().UnixMilli()
	rec.Rotated = slices.DeleteFunc(slices.Clone(rec.Rotated), func(x record.Rotated) bool { return x.Until <= now })
	next := b.token.WithTimeouts(rec.Timeouts)
	rec.Proof = next.Proof()
	s := ledger.Saving{Token: b.token, Next: next, Record: record.Pack(rec), Revision: b.revision}
	keep := b.passive || b.unconfirmed() && rec.Timeouts == b.record.Timeouts
	if d := rec.Timeouts.Deadline; !keep || d != 0 && d < b.ends.UnixMilli() { // nothing lives beyond it
		s.Idle = b.idle(rec.Timeouts.Idle)
	}
	return s, rec, nil
}

// The pause before a save is tried again is up to as many ms as there were tries before it,
// and maxPause at most.
const maxPause = 10 * time.Millisecond

// pauseAfter waits before another try. The first two follow at once.
func pauseAfter(ctx context.Context, tries int) error {
	if tries < 2 {
		return ctx.Err()
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

// whileLive changes the live session by calling do. do reports whether the session was live
// under the binding's token. If it was not, another request may have saved other timeouts,
// which changes the token and the name of the live key: whileLive then reads the record and
// calls do again. It calls do once more even if the token is still the same: the timeouts
// may have been changed and changed back.
func (b *binding) whileLive(ctx context.Context, op string, do func() (bool, error)) error {
	for same := 0; ; {
		ok, err := do()
		if ok || err != nil {
			return err
		}
		before := b.token
		packed, err := b.store.ledger.Record(ctx, b.token.ID)
		if err != nil {
			return unavailable(op, err)
		}
		if ok, err = b.rebase(packed, ""); err != nil {
			return err
		}
		if same++; !b.token.Same(before) {
			same = 0
		}
		if !ok || same > 1 {
			b.state = ended
			b.noteEnd()
			return ErrSessionEnded
		}
	}
}

// rebase takes over what another request has saved meanwhile: packed is the record now, and
// revision its revision, "" if that is not known. What this request has changed stays on top
// of it. ok is false if there is no record, or the secret is not valid any more.
func (b *binding) rebase(packed []byte, revision string) (ok bool, err error) {
	rec, err := decodeRecord(packed)
	if err != nil {
		return false, nil // the session has ended, or its record is lost
	}
	t := b.token.WithTimeouts(rec.Timeouts)
	if !t.Proves(rec.Proof) {
		return false, nil
	}
	if !bytes.Equal(rec.Values, b.record.Values) {
		if err := b.mergeValues(rec.Values); err != nil {
			return false, err
		}
	}
	store := b.store.options.Load()
	if *b.session.Options == *cookieOptions(b.record.Cookie, store) { // this request has not changed them
		b.session.Options = cookieOptions(rec.Cookie, store)
	}
	b.token, b.record, b.packed, b.revision = t, rec, packed, revision
	return true, nil
}

// mergeValues changes the values to what this request and another one have made of them.
// packed are the values that the other one has saved.
func (b *binding) mergeValues(packed []byte) error {
	codec, values := b.store.config.codec, b.session.Values
	base, err := decodeIfAny(codec, b.record.Values)
	if err != nil {
		return err
	}
	theirs, err := decodeIfAny(codec, packed)
	if err != nil {
		return err
	}
	// Values may come back from the codec in other types than they were set in, so this
	// request's go through it too. What cannot be encoded cannot be saved either.
	mine := values
	if len(values) > 0 {
		if data, err := encodeValues(codec, values); err == nil {
			if decoded, err := decodeValues(codec, data); err == nil {
				mine = decoded
			}
		}
	}
	c := merge.Values(base, mine, theirs)
	for _, key := range c.Delete {
		delete(values, key)
	}
	maps.Copy(values, c.Set)
	return nil
}

// watch notes in Redis that an instance has hooks for the session's end. It returns the
// session's record.
func (b *binding) watch(ctx context.Context, instance string) ([]byte, error) {
	err := b.whileLive(ctx, "register a hook", func() (bool, error) {
		ok, err := b.store.ledger.Watch(ctx, b.token.ID, b.token.Proof(), instance)
		return ok, unavailable("register a hook", err)
	})
	return b.packed, err
}
