package lifecycle

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gin-lifecycle/lifecycle/internal/cookie"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// load takes up the session that the request's cookie names, or none.
func (b *binding) load(r *http.Request) {
	s := b.store
	b.loaded = true
	if err := s.checkCookie(b.name, *s.options.Load()); err != nil {
		b.err = fmt.Errorf("lifecycle: the session's name: %w", err)
		return
	}
	b.decideWithheld(r)
	tokens, all := s.readTokens(r, b.name)
	if len(tokens) > 0 {
		b.err = b.read(r.Context(), tokens)
	}
	if all < 2 {
		return
	}
	s.warnOnce("several "+b.name, "lifecycle: a browser sent several cookies of the session's name: that of another path, domain or application, or somebody's attempt; "+
		"the one whose session lives counts, what is the library's own is taken away if that is all", "name", b.name)
	// Where one is not the library's own nobody can say whose cookie is at which place.
	if len(tokens) > 1 && len(tokens) == all && (b.state != live || s.healing.Begin(b.token.ID)) {
		b.otherPlaces = cookie.Elsewhere(r, "", s.options.Load().Domain, b.session.Options.Domain)
		b.resend = b.resend || b.state == live
	}
}

// judge notes whether a session may begin in this request.
func (b *binding) decideWithheld(r *http.Request) {
	switch {
	case cookie.IsPreflight(r):
		b.withheld = withheldPreflight
	case cookie.IsForeign(r):
		b.withheld = withheldForeign
		if r.Header.Get("Sec-Fetch-Site") == "" {
			b.store.warnOnce("origin", "lifecycle: a request was taken for another site's, and got no session, since its Origin is not of the Host; a proxy that changes Host must send X-Forwarded-Host",
				"origin", r.Header.Get("Origin"), "host", r.Host)
		}
	}
}

// maxReadings is how often a request reads sessions again whose timeouts are not its
// token's.
const maxReadings = 2

// read takes up the session of the first of the tokens that names a live one. If none
// does, the binding stays absent, and the visitor gets a new ID, unless one of them could
// not be read.
func (b *binding) read(ctx context.Context, tokens []token.Token) (failed error) {
	if err := b.store.ledger.Open(ctx); err != nil {
		return unavailable("open", err)
	}
	readings := maxReadings
	for i, x := range b.store.ledger.Load(ctx, tokens...) {
		t, err := tokens[i], unavailable("load", x.Err)
		if err == nil && !x.Live {
			t, x, err = b.reissued(ctx, t, x.Record, &readings)
		}
		if err == nil && x.Live {
			err = b.take(t, x.Record)
		}
		if b.state == live {
			b.resend = b.resend || !t.Same(tokens[i])
			return nil
		}
		if failed == nil {
			failed = err
		}
	}
	return failed
}

// take takes up the session of t, whose live key is there.
func (b *binding) take(t token.Token, packed []byte) error {
	s := b.store
	rec, err := decodeRecord(packed)
	if err != nil {
		return err
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
	stands := cookie.PlaceOf(s.canonical(b.session.Options))
	b.place = &stands
	b.resend = b.resend || b.resendDue()
	return nil
}

// reissued returns the token in force of a live session of which the visitor sent t, with
// the right secret and other timeouts, and what it finds: the response that was to bring
// the new ones was lost, or is on its way. Or the timeouts were forged: they are not used.
// packed is the record of the session that t names, empty if there is none.
func (b *binding) reissued(ctx context.Context, t token.Token, packed []byte, readings *int) (now token.Token, x ledger.Loaded, err error) {
	for now = t; ; *readings-- {
		rec, err := decodeRecord(packed)
		if err != nil {
			return t, ledger.Loaded{}, nil // nobody has proved that it is the visitor's
		}
		next := t.WithTimeouts(rec.Timeouts)
		if !next.Proves(rec.Proof) {
			b.withholdRotated(t, rec)
			return t, ledger.Loaded{}, nil
		}
		if next.Same(now) {
			return t, ledger.Loaded{}, nil // it was asked for, and is not there: the session has ended
		}
		if *readings == 0 {
			return t, ledger.Loaded{}, fmt.Errorf("%w: load: other requests change the session's timeouts all the time", ErrUnavailable)
		}
		now = next
		if x = b.store.ledger.Load(ctx, now)[0]; x.Err != nil {
			return t, x, unavailable("load", x.Err)
		}
		if x.Live {
			return now, x, nil
		}
		packed = x.Record // it was changed once more, rotated, or has ended
	}
}

// remember withholds a session from who has the secret from before a rotation.
func (b *binding) withholdRotated(t token.Token, rec record.Record) {
	secret, clock := t.SecretProof(), b.store.ledger.ClockOf(t.ID).Unix()
	for _, old := range rec.Rotated {
		if old.Secret == secret && clock < old.Until {
			b.withheld = withheldRotated
		}
	}
}
