package cookie

import (
	"net/http"
	"slices"
	"strings"
)

const setCookie = "Set-Cookie"

// Lines are the Set-Cookie lines that a response has got of one session. The zero value
// has none.
type Lines struct{ lines []string }

// Set makes these the session's lines in h, in place of those it had: first, one for
// each place from which the cookie is taken away, then the cookie itself. Of two lines
// for the same place a browser keeps what the later one says, so a place is never named
// by both. An empty value sets none.
func (l *Lines) Set(h http.Header, name, value string, f Form, away []Place) {
	l.drop(h)
	for i, p := range away {
		if p == PlaceOf(f) && value != "" || slices.Contains(away[:i], p) {
			continue
		}
		gone := f
		gone.Domain, gone.Path, gone.MaxAge = p.Domain, p.Path, -1
		l.add(h, name, "", gone)
	}
	if value != "" {
		l.add(h, name, value, f)
	}
}

func (l *Lines) drop(h http.Header) {
	if len(l.lines) == 0 {
		return
	}
	h[setCookie] = slices.DeleteFunc(h[setCookie], func(line string) bool { return slices.Contains(l.lines, line) })
	if len(h[setCookie]) == 0 {
		delete(h, setCookie)
	}
	l.lines = l.lines[:0]
}

// add adds a line. What is not as it mostly is comes first of the attributes: their order
// is free, and gin-contrib's tests look for it there.
func (l *Lines) add(h http.Header, name, value string, f Form) {
	c := http.Cookie{
		Name: name, Value: value, Path: f.Path, MaxAge: f.MaxAge,
		Secure: f.Secure, HttpOnly: f.HttpOnly, Partitioned: f.Partitioned,
	}
	first := ""
	if f.Domain != "" {
		first += "; Domain=" + f.Domain
	}
	switch f.SameSite {
	case http.SameSiteStrictMode:
		first += "; SameSite=Strict"
	case http.SameSiteNoneMode:
		first += "; SameSite=None"
	default:
		c.SameSite = http.SameSiteLaxMode
	}
	line := c.String()
	if line == "" {
		return // an impossible name; Check has said so
	}
	end := strings.IndexByte(line, ';')
	line = line[:end] + first + line[end:]
	l.lines = append(l.lines, line)
	h[setCookie] = append(h[setCookie], line)
}

// DropForeign takes lines out of h that set a cookie of this name to a value that is
// another visitor's: a cache within the application has kept the response to that one.
func DropForeign(h http.Header, name string, is func(value string) bool) {
	foreign := func(line string) bool {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || !strings.HasPrefix(rest, "=") {
			return false
		}
		value, _, _ := strings.Cut(rest[1:], ";")
		return is(strings.Trim(value, " \t\""))
	}
	if slices.ContainsFunc(h[setCookie], foreign) {
		h[setCookie] = slices.DeleteFunc(slices.Clone(h[setCookie]), foreign)
		if len(h[setCookie]) == 0 {
			delete(h, setCookie)
		}
	}
}

// maxFolders bounds for how many folders of a request's path a cookie is taken away, and
// maxPath how long they may be: a browser ignores a longer Path (RFC 6265bis, section 5.6).
const (
	maxFolders = 6
	maxPath    = 1024
)

// Elsewhere returns the places within these domains from which the browser may have sent a
// cookie with this request: RFC 6265, section 5.1.4, on which paths match.
func Elsewhere(r *http.Request, domains ...string) []Place {
	paths := []string{"/"}
	path := r.URL.EscapedPath()
	for i := 1; i < min(len(path), maxPath) && len(paths) < 2*maxFolders; i++ {
		if path[i] == '/' {
			paths = append(paths, path[:i], path[:i+1])
		}
	}
	if len(path) > 1 && len(path) <= maxPath && path[0] == '/' && path[len(path)-1] != '/' {
		paths = append(paths, path)
	}
	slices.Sort(domains)
	var all []Place
	for _, d := range slices.Compact(domains) {
		for _, p := range paths {
			all = append(all, Place{Domain: d, Path: p})
		}
	}
	return all
}
