// Package cookie knows the rules of HTTP for a session's cookie: its form, its lines in
// a response, what a cache may do with them, and in which requests a browser lets a
// foreign site act. It knows no session and no store.
package cookie

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/gorilla/sessions"
)

// Form is the form of a cookie: its attributes, as canonical makes them.
type Form = sessions.Options

// Canonical returns the form as a browser understands it, so that two of them that
// compare equal are one to a browser.
//
// An omitted attribute means what is safe for a session. The Path is "/": without one a
// browser takes the folder of the request, and the visitor has one cookie for each
// (RFC 6265, section 5.1.4). Without SameSite it is Lax. HttpOnly is set, whatever the
// form says, unless scripts may read the cookie. SameSite=None and Partitioned bring
// Secure, without which browsers refuse them. A leading dot and the case of a Domain
// mean nothing (RFC 6265, section 5.2.3).
func Canonical(f Form, scripts bool) Form {
	f.Path = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f || r == ';' {
			return -1 // as net/http does
		}
		return r
	}, f.Path)
	if !strings.HasPrefix(f.Path, "/") {
		f.Path = "/"
	}
	f.Domain = strings.ToLower(strings.TrimPrefix(f.Domain, "."))
	if (&http.Cookie{Name: "a", Domain: f.Domain}).Valid() != nil {
		f.Domain = "" // net/http leaves it out
	}
	if f.SameSite != http.SameSiteStrictMode && f.SameSite != http.SameSiteNoneMode {
		f.SameSite = http.SameSiteLaxMode
	}
	f.HttpOnly = f.HttpOnly || !scripts
	f.Secure = f.Secure || f.SameSite == http.SameSiteNoneMode || f.Partitioned
	return f
}

// ValidName reports whether s is a token of RFC 9110, as RFC 6265 wants a cookie's name
// to be.
func ValidName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
}

// NeedsSecure reports whether browsers take a cookie of this name only if it is Secure
// (RFC 6265bis, section 4.1.3, the prefixes __Secure- and __Host-).
func NeedsSecure(name string) bool { return hasPrefix(name, "__Secure-") || isHost(name) }

func isHost(name string) bool { return hasPrefix(name, "__Host-") }

// hasPrefix compares as browsers do, in any case.
func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// Check returns an error if browsers would refuse a cookie of this name and canonical
// form. insecure says that nothing but the form would make it Secure.
func Check(name string, f Form, insecure bool) error {
	switch {
	case !ValidName(name):
		return fmt.Errorf("%q is not a cookie name", name)
	case NeedsSecure(name) && insecure && !f.Secure:
		return fmt.Errorf("browsers refuse the cookie %q unless it is Secure: use TLS and SecureAlways, or another name", name)
	case isHost(name) && f.Domain != "":
		return fmt.Errorf("browsers refuse the cookie %q with Domain=%s: it must have none, or another name", name, f.Domain)
	case isHost(name) && f.Path != "/":
		return fmt.Errorf("browsers refuse the cookie %q with Path=%s: it must be /, or the name another", name, f.Path)
	}
	return nil
}

// Place is where a browser keeps a cookie: it has one of a name for each.
type Place struct{ Domain, Path string }

// PlaceOf returns the place of a canonical form.
func PlaceOf(f Form) Place { return Place{Domain: f.Domain, Path: f.Path} }
