package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/cookie"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// load reads the session that the request's cookie names, if there is one.
func (b *binding) load() {
	if b.loaded {
		return
	}
	s, r := b.store, b.request
	b.loaded = true
	if err := s.checkCookie(b.name, *s.options.Load()); err != nil {
		b.err = fmt.Errorf("lifecycle: the session's name: %w", err)
		return
	}
	if b.decideWay(); b.withheld == withheldField {
		return
	}
	tokens, all := b.readTokens()
	if len(tokens) > 0 {
		b.err = b.read(r.Context(), tokens)
	}
	if all < 2 {
		return
	}
	s.warnOnce("several "+b.name, "lifecycle: a browser sent several cookies of the session's name; the first one whose session is live is used. "+
		"Another path, another domain or another application may have set the others; the library removes them if it has set all of them itself. "+
		"If this happens often, give the session a name of its own", "name", b.name)
	// If one of the cookies is not the library's, it is not known which cookie has which path
	// and domain.
	if len(tokens) > 1 && len(tokens) == all && (b.state != live || s.healing.Begin(b.token.ID)) {
		b.otherPlaces = cookie.Elsewhere(r, "", s.options.Load().Domain, b.session.Options.Domain)
		b.resend = b.resend || b.state == live
	}
}

// maxTokens is how many tokens of one request are looked up. A browser sends several cookies
// of one name if they were set for several paths or domains.
const maxTokens = 4

// readTokens returns the tokens of the request, in the order of its cookies: browsers send
// the cookie with the longest path first, and of those the oldest (RFC 6265, section 5.4).
// A value that cannot be a token of this name is left out. all is the number of different
// cookies of the name.
func (b *binding) readTokens() (tokens []token.Token, all int) {
	if b.header != "" {
		if t, ok := token.Parse(b.request.Header.Get(b.header), b.mark()); ok {
			return []token.Token{t}, 1
		}
		return nil, 0
	}
	cookies := b.request.CookiesNamed(b.name)
	if len(cookies) == 0 {
		return nil, 0
	}
	mark := b.mark()
	for _, c := range cookies {
		t, ok := token.Parse(c.Value, mark)
		if ok && slices.ContainsFunc(tokens, t.Same) {
			continue
		}
		all++
		if ok && len(tokens) < maxTokens {
			tokens = append(tokens, t)
		}
	}
	return tokens, all
}

// decideWay decides whether the token is in a header field or in a cookie, for the request and for
// its response, and whether a session may begin.
func (b *binding) decideWay() {
	if name := b.store.config.tokenHeader; name != "" && len(b.request.Header[name]) > 0 {
		b.header = name
		if !b.shared.takeField(name, b.store, b.name) {
			b.withheld = withheldField
			return
		}
	}
	b.decideWithheld()
}

// decideWithheld decides whether a session may begin in this request.
func (b *binding) decideWithheld() {
	switch r := b.request; {
	case b.passive:
		b.withheld = withheldPassive
	case b.header != "": // no foreign page can make a browser send it
	case cookie.IsPreflight(r):
		b.withheld = withheldPreflight
	case cookie.IsForeign(r):
		b.withheld = withheldForeign
		if r.Header.Get("Sec-Fetch-Site") == "" {
			b.store.warnOnce("origin", "lifecycle: a request got no session because its Origin is another site than its Host; if a proxy in front changes Host, let it send X-Forwarded-Host",
				"origin", r.Header.Get("Origin"), "host", r.Host)
		}
	}
}

// maxReadings is how often a request reads the sessions again whose timeouts differ from
// those in its token.
const maxReadings = 2

// read uses the first of the tokens that names a live session. If none does, the visitor
// gets a new session with a new ID; but if one of the tokens could not be looked up, or its
// session cannot be decoded, read returns that error.
func (b *binding) read(ctx context.Context, tokens []token.Token) (failed error) {
	l := b.store.ledger
	if err := l.Open(ctx); err != nil {
		return unavailable("open", err)
	}
	readings := maxReadings
	for i, x := range b.loadAll(ctx, tokens...) {
		t, err := tokens[i], unavailable("load", x.Err)
		if err == nil && !x.Live {
			t, x, err = b.reissued(ctx, t, x.Record, &readings)
		}
		if err == nil && x.Live {
			if err = b.use(t, x); err != nil && x.Left > 0 && !b.passive {
				// What cannot be used is not prolonged either, or it would never end.
				_ = l.Restore(context.WithoutCancel(ctx), t, x)
			}
		}
		if b.state == live {
			b.resend = b.resend || !t.Same(tokens[i])
			b.forgetOthers()
			return nil
		}
		if failed == nil {
			failed = err
		}
	}
	return failed
}

// forgetOthers forgets what the tokens before that of the live session have told: the visitor
// has not lost his session, and it may be renewed.
func (b *binding) forgetOthers() {
	b.past = nil
	if b.withheld == withheldRotated {
		b.withheld = ""
		b.decideWithheld()
	}
}

// loadAll reads sessions, and prolongs them unless the request is passive.
func (b *binding) loadAll(ctx context.Context, tokens ...token.Token) []ledger.Loaded {
	if b.passive {
		return b.store.ledger.Peek(ctx, tokens...)
	}
	return b.store.ledger.Load(ctx, tokens...)
}

// use makes the session of t, whose live key exists, the request's session. If the session
// cannot be decoded, it is the request's all the same, but can only be ended.
func (b *binding) use(t token.Token, x ledger.Loaded) error {
	s := b.store
	rec, err := decodeRecord(x.Record)
	readable := err == nil
	if d := rec.Timeouts.Deadline; d != 0 && s.ledger.ClockOf(t.ID).Unix() > d {
		return nil
	}
	var values map[any]any
	if readable {
		values, err = decodeIfAny(s.config.codec, rec.Values)
	}
	if err != nil && b.state == unreadable {
		return err // the first one is the request's
	}
	b.token, b.record, b.packed, b.revision = t, rec, x.Record, x.Revision
	b.session.ID, b.session.IsNew = t.ID, false
	if readable {
		b.session.Options = cookieOptions(rec.Cookie, s.options.Load())
		place := cookie.PlaceOf(s.canonical(b.session.Options))
		b.place = &place
	}
	if err != nil {
		b.state = unreadable
		return err
	}
	b.state, b.session.Values = live, values
	b.resend = b.resend || !b.passive && b.header == "" && b.resendDue()
	b.loading, b.ends = x, endWithout(x)
	return nil
}

// endWithout returns when a session that was read would have ended without the request.
func endWithout(x ledger.Loaded) time.Time { return time.UnixMilli(x.Asked).Add(x.Left) }

// becomePassive makes the request passive before the handler runs. What was read before the
// middleware has prolonged the session; that is taken back.
func (b *binding) becomePassive() {
	b.passive = true
	if !b.loaded {
		return
	}
	b.withheld = withheldPassive
	if b.state == live && b.loading.Live {
		_ = b.store.ledger.Restore(context.WithoutCancel(b.request.Context()), b.token, b.loading)
		if ends := endWithout(b.loading); ends.Before(b.ends) { // a Save has prolonged it, too
			b.ends = ends
		}
	}
}

// reissued looks for the session of a token t that has the right secret but other timeouts
// than the session: another request has saved new timeouts, and the response with the new
// token was lost or is still on its way. Or the client has forged the timeouts in t; they
// are not used. packed is the record that was found under t's ID, empty if there is none.
// reissued returns the valid token, and what was found under it.
func (b *binding) reissued(ctx context.Context, t token.Token, packed []byte, readings *int) (now token.Token, x ledger.Loaded, err error) {
	for now = t; ; *readings-- {
		rec, err := decodeRecord(packed)
		if err != nil {
			b.foundPast(now, packed)
			return t, ledger.Loaded{}, nil // there is no session to prove the secret with
		}
		next := t.WithTimeouts(rec.Timeouts)
		if !next.Proves(rec.Proof) {
			b.withholdRotated(t, rec)
			return t, ledger.Loaded{}, nil
		}
		if next.Same(now) {
			b.foundEnded(now, rec)
			return t, ledger.Loaded{}, nil // this token was looked up already: the session has ended
		}
		if *readings == 0 {
			return t, ledger.Loaded{}, fmt.Errorf("%w: load: other requests change the session's timeouts all the time", ErrUnavailable)
		}
		now = next
		if x = b.loadAll(ctx, now)[0]; x.Err != nil {
			return t, x, unavailable("load", x.Err)
		}
		if x.Live {
			return now, x, nil
		}
		packed = x.Record // another request has changed or rotated it again, or it has ended
	}
}

// withholdRotated withholds a session from a client that has the secret from before a
// rotation.
func (b *binding) withholdRotated(t token.Token, rec record.Record) {
	secret, clock := t.SecretProof(), b.store.ledger.ClockOf(t.ID).Unix()
	for _, old := range rec.Rotated {
		if old.Secret == secret && clock < old.Until {
			b.withheld = withheldRotated
		}
	}
}

// resendAfter is the age after which a cookie with a MaxAge is sent again; a tenth of its
// MaxAge if that is shorter.
const resendAfter = time.Minute

// resendDue reports whether to send a cookie with a MaxAge again, so that it does not expire
// long before the session.
func (b *binding) resendDue() bool {
	age := time.Duration(b.session.Options.MaxAge) * time.Second
	return age > 0 && b.token.Age(b.clock()) >= min(resendAfter, age/10)
}
