package lifecycle

import (
	"net/http"
	"slices"
	"strings"

	gsessions "github.com/gorilla/sessions"

	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// readToken returns the token that the request brings. Anything but exactly one
// well-formed cookie of that name is none: with two, nobody could say which of
// them the application had set.
func readToken(r *http.Request, name string) (token.Token, bool) {
	cookies := r.CookiesNamed(name)
	if len(cookies) != 1 {
		return token.Token{}, false
	}
	return token.Parse(cookies[0].Value)
}

// setCookie writes the cookie, in place of one of the same name that this
// response has got already.
func setCookie(r *http.Request, w http.ResponseWriter, name, value string, o *gsessions.Options, secure SecureCookie) {
	h := w.Header()
	if lines, ok := h[setCookieHeader]; ok {
		h[setCookieHeader] = slices.DeleteFunc(lines, func(l string) bool {
			return strings.HasPrefix(l, name+"=") && !strings.HasPrefix(l, name+"=;") // which takes one away
		})
	}
	addCookie(r, w, name, value, o, secure)
}

const setCookieHeader = "Set-Cookie"

// addCookie writes the cookie, beside others of the same name.
func addCookie(r *http.Request, w http.ResponseWriter, name, value string, o *gsessions.Options, secure SecureCookie) {
	cookie := gsessions.NewCookie(name, value, o)
	cookie.Secure = cookie.Secure || secure == SecureAlways || secure == SecureAuto && r.TLS != nil
	if line := cookie.String(); line != "" { // else an impossible name; net/http drops it too
		w.Header().Add(setCookieHeader, line)
	}
}

// validCookieName reports whether s is a token of RFC 9110, as RFC 6265 wants
// a cookie's name to be.
func validCookieName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
}

// ownCookie returns what the record keeps of options: nil where they are the
// store's.
func ownCookie(o, store *gsessions.Options) *record.Cookie {
	if *o == *store {
		return nil
	}
	return &record.Cookie{
		Path:        o.Path,
		Domain:      o.Domain,
		MaxAge:      o.MaxAge,
		SameSite:    int(o.SameSite),
		Secure:      o.Secure,
		HTTPOnly:    o.HttpOnly,
		Partitioned: o.Partitioned,
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
