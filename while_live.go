package lifecycle

import "context"

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

// watch notes in Redis that an instance has hooks for the session's end.
func (b *binding) watch(ctx context.Context, instance string) error {
	return b.whileLive(ctx, "register a hook", func() (bool, error) {
		return b.store.ledger.Watch(ctx, b.token.ID, b.token.Proof(), instance)
	})
}
