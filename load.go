package lifecycle

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gin-lifecycle/lifecycle/internal/cookies"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
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
	switch {
	case cookies.IsPreflight(r):
		b.withheld = withheldPreflight
	case cookies.IsForeign(r):
		b.withheld = withheldForeign
	}
	tokens, several := s.readTokens(r, b.name)
	if len(tokens) > 0 {
		b.err = b.read(r.Context(), tokens)
	}
	if !several {
		return
	}
	s.say("several "+b.name, "lifecycle: a browser sent several cookies of the session's name: that of another path, domain or application, or somebody's attempt; "+
		"the one whose session lives counts, what else is the library's own is taken away", "name", b.name)
	if len(tokens) > 1 {
		b.elsewhere = cookies.Elsewhere(r, "", s.options.Load().Domain, b.session.Options.Domain)
		b.resend = b.resend || b.state == live
	}
}

// read takes up the session of the first of the tokens that names a live one. If none
// does, the binding stays absent, and the visitor gets a new ID.
func (b *binding) read(ctx context.Context, tokens []token.Token) error {
	s := b.store
	if err := s.ledger.Open(ctx); err != nil {
		return unavailable("open", err)
	}
	found, err := s.ledger.Load(ctx, tokens)
	if err != nil {
		return unavailable("load", err)
	}
	for i, t := range tokens {
		x := found[i]
		if !x.Live {
			if t, x, err = b.reissued(ctx, t, x.Record); err != nil {
				return err
			}
		}
		if !x.Live {
			continue
		}
		if err := b.take(t, x.Record); err != nil || b.state == live {
			b.resend = b.resend || !t.Same(tokens[i])
			return err
		}
	}
	return nil
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
	stands := cookies.PlaceOf(*b.session.Options)
	b.stands = &stands
	b.resend = b.resend || b.resendDue()
	return nil
}

// reissued returns the token in force of a live session of which the visitor sent t, with
// the right secret and other timeouts, and what it finds: the response that was to bring
// the new ones was lost, or is on its way. Or the timeouts were forged: they are not used.
// packed is the record of the session that t names, empty if there is none.
func (b *binding) reissued(ctx context.Context, t token.Token, packed []byte) (now token.Token, x ledger.Loaded, err error) {
	rec, err := decodeRecord(packed)
	if err != nil {
		return t, x, nil // nobody has proved that it is the visitor's
	}
	now = t.WithTimeouts(rec.Timeouts)
	if now.Same(t) || !now.Proves(rec.Proof) {
		secret, clock := t.SecretProof(), b.store.ledger.ClockOf(t.ID).Unix()
		for _, old := range rec.Rotated {
			if old.Secret == secret && clock < old.Until {
				b.withheld = withheldRotated
			}
		}
		return t, x, nil
	}
	found, err := b.store.ledger.Load(ctx, []token.Token{now})
	if err != nil {
		return t, x, unavailable("load", err)
	}
	return now, found[0], nil
}
