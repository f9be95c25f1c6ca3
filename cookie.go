package lifecycle

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle/internal/cookie"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// maxTokens is how many tokens of one request are asked for. A browser sends several
// cookies of one name where they were set for several paths or domains.
const maxTokens = 4

// readTokens returns the tokens that the request brings, in the order in which it does:
// browsers send the cookie with the longest path first, and of those the oldest (RFC
// 6265, section 5.4). What cannot be a token of this name is left out. all is how many
// different cookies of the name there are.
func (s *Store) readTokens(r *http.Request, name string) (tokens []token.Token, all int) {
	cookies := r.CookiesNamed(name)
	if len(cookies) == 0 {
		return nil, 0
	}
	mark := token.MarkOf(s.config.prefix, name)
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

// sendCookie sets the cookie, and takes it away where the browser has others.
func (b *binding) sendCookie(r *http.Request, w http.ResponseWriter) {
	b.resend = false
	f := b.form(r)
	f.MaxAge = max(f.MaxAge, 0) // of a removal that nothing has saved
	b.token, b.setAt = b.token.Sent(b.clock()), time.Now()
	b.lines.Set(w.Header(), b.name, b.token.String(), f, b.stalePlaces())
	cookie.MarkCached(w.Header())
}

// A cookie with an age is sent again when it is older than this, or a tenth of its age.
const resendAfter = time.Minute

// resendDue reports whether the cookie has an age and is to be sent again, so that it does
// not end long before the session does.
func (b *binding) resendDue() bool {
	age := time.Duration(b.session.Options.MaxAge) * time.Second
	return age > 0 && b.token.Age(b.clock()) >= min(resendAfter, age/10)
}

// A cookie that was set so long before the response goes out is looked at once more.
const settled = 100 * time.Millisecond

// liveTimeout bounds that look: without it the browser keeps what it has.
const liveTimeout = 250 * time.Millisecond

// resendCookie sends the cookie again with a response that goes out now, if its token is
// still good: the request may have waited while another one has rotated it, and the
// browser would lose the new one. For the same reason it takes back a cookie that was set
// long before the response goes out. Nobody else has had the one of a session that began here.
func (b *binding) resendCookie(r *http.Request, w http.ResponseWriter) {
	set := !b.setAt.IsZero()
	if b.state != live || b.fresh || !b.resend && (!set || time.Since(b.setAt) < settled) {
		return
	}
	b.resend = false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), liveTimeout)
	defer cancel()
	switch ok, err := b.store.ledger.Live(ctx, b.token); {
	case err == nil && !ok:
		b.lines.Set(w.Header(), b.name, "", cookie.Form{}, nil)
	case err == nil && !set:
		b.sendCookie(r, w)
	}
}

// clock returns the time by the clock of the server that has the session.
func (b *binding) clock() time.Time {
	return time.UnixMilli(b.store.ledger.ClockOf(b.token.ID).Unix())
}

// expireCookie takes the cookie away, wherever it may be. A request that is to leave the
// visitor's cookie alone leaves it here too.
func (b *binding) expireCookie(r *http.Request, w http.ResponseWriter) {
	b.resend = false
	if b.withheldError() != nil {
		return
	}
	f := b.form(r)
	places := append(b.stalePlaces(), cookie.PlaceOf(f), cookie.PlaceOf(*b.store.options.Load()))
	b.lines.Set(w.Header(), b.name, "", f, places)
	cookie.MarkCached(w.Header())
}

// away returns the places from which the cookie is to be taken away unless it is set
// there: those of a crowded request, and the one where the session's cookie has been.
func (b *binding) stalePlaces() []cookie.Place {
	places := slices.Clone(b.otherPlaces)
	if b.place != nil {
		places = append(places, *b.place)
	}
	return places
}

// form returns the cookie's form for this request.
func (b *binding) form(r *http.Request) cookie.Form {
	s := b.store
	f := s.canonical(b.session.Options)
	f.Secure = f.Secure || cookie.NeedsSecure(b.name) || s.config.secure == SecureAlways ||
		s.config.secure == SecureAuto && (r.TLS != nil || b.gin != nil && forwardedTLS(b.gin))
	return f
}

// forwardedTLS reports whether a proxy that gin trusts says that the request came to it
// over TLS.
func forwardedTLS(c *gin.Context) bool {
	proto, _, _ := strings.Cut(c.GetHeader("X-Forwarded-Proto"), ",") // the first is the one that the client spoke to
	if !strings.EqualFold(strings.TrimSpace(proto), "https") {
		return false
	}
	// gin does not tell whom it trusts, only what it makes of what they say.
	client := "192.0.2.1"
	if c.RemoteIP() == client {
		client = "192.0.2.2"
	}
	probe := c.Copy()
	probe.Request = &http.Request{
		RemoteAddr: c.Request.RemoteAddr,
		Header:     http.Header{"X-Forwarded-For": {client}, "X-Real-Ip": {client}},
	}
	probe.Request = probe.Request.WithContext(c.Request.Context()) // which knows whether it is a Unix socket
	return probe.ClientIP() == client
}

// canonical returns options as a browser understands them.
func (s *Store) canonical(o *gsessions.Options) cookie.Form {
	f := cookie.Canonical(*o, s.config.scriptAccess)
	f.MaxAge = min(f.MaxAge, maxAge)
	return f
}

// checkCookie returns an error if browsers refuse a cookie of this name and form.
func (s *Store) checkCookie(name string, f cookie.Form) error {
	return cookie.Check(name, f, s.config.secure == SecureNever)
}

// mention logs, once for the store each, what of given options is not as it seems; f is
// their canonical form.
func (s *Store) warnOptions(o *gsessions.Options, f cookie.Form) {
	if o.SameSite == http.SameSiteNoneMode && !o.Secure {
		s.warnOnce("SameSite=None", "lifecycle: a cookie with SameSite=None is sent with Secure too, browsers refuse it otherwise; over plain HTTP they keep none")
	}
	if o.Path != "" && o.Path[0] != '/' {
		s.warnOnce("Path", "lifecycle: a cookie's Path must begin with a slash, it is taken as \"/\"", "path", o.Path)
	}
	if o.Domain != "" && f.Domain == "" {
		s.warnOnce("Domain", "lifecycle: a cookie's Domain is none, it is left out", "domain", o.Domain)
	}
	if a := s.config.absolute; a > 0 && f.MaxAge > int(a.Seconds()) {
		s.warnOnce("MaxAge", "lifecycle: MaxAge is longer than the absolute timeout: sessions end, and visitors are logged out, at the absolute timeout; raise it with WithAbsoluteTimeout",
			"maxAge", f.MaxAge, "absoluteTimeout", a)
	}
}

// say logs a warning, once for each thing that it is about.
func (s *Store) warnOnce(about, text string, args ...any) {
	if _, said := s.warned.LoadOrStore(about, true); !said {
		s.managers.logger().Warn(text, args...)
	}
}

// ownCookie returns what the record keeps of options: nil where they are the
// store's.
func ownCookie(f, store cookie.Form) *record.Cookie {
	if f == store {
		return nil
	}
	return &record.Cookie{
		Path:        f.Path,
		Domain:      f.Domain,
		MaxAge:      f.MaxAge,
		SameSite:    int(f.SameSite),
		Secure:      f.Secure,
		HTTPOnly:    f.HttpOnly,
		Partitioned: f.Partitioned,
	}
}

// cookieOptions is the inverse of ownCookie.
func cookieOptions(c *record.Cookie, store *gsessions.Options) *gsessions.Options {
	if c == nil {
		o := *store
		return &o
	}
	return &gsessions.Options{
		Path:        c.Path,
		Domain:      c.Domain,
		MaxAge:      c.MaxAge,
		SameSite:    http.SameSite(c.SameSite),
		Secure:      c.Secure,
		HttpOnly:    c.HTTPOnly,
		Partitioned: c.Partitioned,
	}
}
