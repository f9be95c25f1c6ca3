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

// maxTokens is how many tokens of one request are looked up. A browser sends several cookies
// of one name if they were set for several paths or domains.
const maxTokens = 4

// readTokens returns the tokens of the request, in the order of its cookies: browsers send
// the cookie with the longest path first, and of those the oldest (RFC 6265, section 5.4).
// A value that cannot be a token of this name is left out. all is the number of different
// cookies of the name.
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

// sendCookie sets the cookie, and removes the others that the browser has.
func (b *binding) sendCookie(r *http.Request, w http.ResponseWriter) {
	b.resend = false
	f := b.form(r)
	f.MaxAge = max(f.MaxAge, 0) // a MaxAge below 0 that was not saved removes nothing
	b.token, b.setAt = b.token.Sent(b.clock()), time.Now()
	b.lines.Set(w.Header(), b.name, b.token.String(), f, b.stalePlaces())
	cookie.MarkCached(w.Header())
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

// setLongAgo is the time after which a cookie that was set, but not sent yet, is checked
// again.
const setLongAgo = 100 * time.Millisecond

// liveTimeout limits the question whether a token is still valid. Without an answer the
// browser keeps the cookie that it has.
const liveTimeout = 250 * time.Millisecond

// resendCookie sends the cookie again, with a response that is about to be sent, if its token
// is still valid: another request may have rotated the session meanwhile, and the browser
// would lose the new cookie. For the same reason it withdraws a cookie that was set long
// before the response is sent. A session that began in this request needs no check: no other
// request has its token.
func (b *binding) resendCookie(r *http.Request, w http.ResponseWriter) {
	set := !b.setAt.IsZero()
	if b.state != live || b.fresh || !b.resend && (!set || time.Since(b.setAt) < setLongAgo) {
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

// clock returns the time by the clock of the Redis server that has the session.
func (b *binding) clock() time.Time {
	return time.UnixMilli(b.store.ledger.ClockOf(b.token.ID).Unix())
}

// expireCookie removes the cookie from every place where the browser may have it. In a
// request in which the session is withheld the visitor's cookie stays.
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

// stalePlaces returns the places from which to remove the cookie, unless it is set there: the
// place where the session's cookie was, and those of a request with several cookies.
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

// forwardedTLS reports whether a proxy that gin trusts says that it got the request over
// TLS.
func forwardedTLS(c *gin.Context) bool {
	proto, _, _ := strings.Cut(c.GetHeader("X-Forwarded-Proto"), ",") // the first value is that of the proxy that the client connected to
	if !strings.EqualFold(strings.TrimSpace(proto), "https") {
		return false
	}
	// gin does not say which proxies it trusts. But it uses their X-Forwarded-For: if gin
	// takes over this address, it trusts the proxy.
	client := "192.0.2.1"
	if c.RemoteIP() == client {
		client = "192.0.2.2"
	}
	probe := c.Copy()
	probe.Request = &http.Request{
		RemoteAddr: c.Request.RemoteAddr,
		Header:     http.Header{"X-Forwarded-For": {client}, "X-Real-Ip": {client}},
	}
	probe.Request = probe.Request.WithContext(c.Request.Context()) // gin reads from it whether this is a Unix socket
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

// warnOptions logs a warning, once each, about options that do not mean what they seem to; f
// is their canonical form.
func (s *Store) warnOptions(o *gsessions.Options, f cookie.Form) {
	if o.SameSite == http.SameSiteNoneMode && !o.Secure {
		s.warnOnce("SameSite=None", "lifecycle: a cookie with SameSite=None is sent with Secure too, because browsers refuse it otherwise; browsers do not keep it over plain HTTP")
	}
	if o.Path != "" && o.Path[0] != '/' {
		s.warnOnce("Path", "lifecycle: a cookie's Path must begin with a slash; \"/\" is used instead", "path", o.Path)
	}
	if o.Domain != "" && f.Domain == "" {
		s.warnOnce("Domain", "lifecycle: the Domain of the session's cookie is not a domain; the cookie is sent without one", "domain", o.Domain)
	}
	if a := s.config.absolute; a > 0 && f.MaxAge > int(a.Seconds()) {
		s.warnOnce("MaxAge", "lifecycle: MaxAge is longer than the absolute timeout: sessions end, and visitors are logged out, at the absolute timeout; to change that use WithAbsoluteTimeout",
			"maxAge", f.MaxAge, "absoluteTimeout", a)
	}
}

// warnOnce logs a warning, once for each topic.
func (s *Store) warnOnce(topic, text string, args ...any) {
	if _, said := s.warned.LoadOrStore(topic, true); !said {
		s.managers.logger().Warn(text, args...)
	}
}

// ownCookie returns what the record keeps of a session's options: nil if they are the
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
