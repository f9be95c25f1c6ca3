package cookie

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/gorilla/sessions"
)

// Form is the form of a cookie: its attributes.
type Form = sessions.Options

// Canonical returns the form as a browser understands it. If two canonical forms are equal,
// they are the same to a browser.
//
// A missing attribute gets the value that is safe for a session:
//   - Path is "/". Without a Path a browser takes the folder of the request, and the visitor
//     would have a cookie for each folder (RFC 6265, section 5.1.4).
//   - SameSite is Lax.
//   - HttpOnly is set, whatever the form says, unless scripts is true: then the scripts of a
//     page may read the cookie.
//   - Secure is set for SameSite=None and for Partitioned, because browsers refuse these
//     without it.
//
// A dot at the beginning of a Domain and its case mean nothing (RFC 6265, section 5.2.3). A
// Domain that is none is left out.
func Canonical(f Form, scripts bool) Form {
	f.Path = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f || r == ';' {
			return -1 // net/http leaves these out too
		}
		return r
	}, f.Path)
	if !strings.HasPrefix(f.Path, "/") {
		f.Path = "/"
	}
	f.Domain = strings.ToLower(strings.TrimPrefix(f.Domain, "."))
	if (&http.Cookie{Name: "a", Domain: f.Domain}).Valid() != nil {
		f.Domain = "" // net/http would leave it out
	}
	if f.SameSite != http.SameSiteStrictMode && f.SameSite != http.SameSiteNoneMode {
		f.SameSite = http.SameSiteLaxMode
	}
	f.HttpOnly = f.HttpOnly || !scripts
	f.Secure = f.Secure || f.SameSite == http.SameSiteNoneMode || f.Partitioned
	return f
}

// ValidName reports whether s can be the name of a cookie. RFC 6265 says that it must be a
// token of RFC 9110.
func ValidName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
}

// NeedsSecure reports whether browsers accept a cookie of this name only if it is Secure:
// whether its prefix is __Secure- or __Host- (RFC 6265bis, section 4.1.3).
func NeedsSecure(name string) bool { return hasPrefix(name, "__Secure-") || isHost(name) }

// isHost reports whether the prefix of a name is __Host-.
func isHost(name string) bool { return hasPrefix(name, "__Host-") }

// hasPrefix reports whether a name has a prefix, in any case, as browsers compare it.
func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// Check returns an error if browsers would refuse a cookie of this name and canonical form.
// The error says what to change. insecure means that the cookie will be Secure only if the
// form says so.
func Check(name string, f Form, insecure bool) error {
	switch {
	case !ValidName(name):
		return fmt.Errorf("%q is not a cookie name", name)
	case NeedsSecure(name) && insecure && !f.Secure:
		return fmt.Errorf("browsers refuse the cookie %q unless it is Secure: use TLS and SecureAlways, or another name", name)
	case isHost(name) && f.Domain != "":
		return fmt.Errorf("browsers refuse the cookie %q with Domain=%s: leave the Domain out, or use another name", name, f.Domain)
	case isHost(name) && f.Path != "/":
		return fmt.Errorf("browsers refuse the cookie %q with Path=%s: use the Path /, or another name", name, f.Path)
	}
	return nil
}

// Place is where a browser keeps a cookie. For each place it has one cookie of a name.
type Place struct{ Domain, Path string }

// PlaceOf returns the place of a canonical form.
func PlaceOf(f Form) Place { return Place{Domain: f.Domain, Path: f.Path} }
