package cookie

import (
	"net/http"
	"slices"
	"strings"
)

const setCookie = "Set-Cookie"

// Lines are the Set-Cookie lines of one session in a response, or the header field that has
// its token instead. The zero value has none. It is for one goroutine.
type Lines struct {
	lines   []string // those that the response is to have
	applied []string // those that Apply has put into the header
	field   string   // the name of the field; "" for none
	value   string
	dropped string // a field that was withdrawn
}

// SetField sets the field that has the token. An empty value says that there is no session.
func (l *Lines) SetField(name, value string) { l.field, l.value, l.dropped = name, value, "" }

// Withdraw takes back what was set: the client keeps what it has.
func (l *Lines) Withdraw() { l.lines, l.field, l.dropped = nil, "", l.field }

// Set replaces the session's lines. The new ones are first, for each place of away, a line
// that removes the cookie there, and then a line that sets the cookie to value. If value is
// empty, no cookie is set. Of two lines for the same place a browser heeds the later one, so
// there is only one line for each place. The header has them after Apply.
func (l *Lines) Set(name, value string, f Form, away []Place) {
	l.lines = nil // applied may be the same slice
	for i, p := range away {
		if p == PlaceOf(f) && value != "" || slices.Contains(away[:i], p) {
			continue
		}
		gone := f
		gone.Domain, gone.Path, gone.MaxAge = p.Domain, p.Path, -1
		l.add(name, "", gone)
	}
	if value != "" {
		l.add(name, value, f)
	}
}

// Apply puts the session's lines into a header, in place of those that it has put there
// before. What somebody has deleted there stays deleted, if no line is left at all. If
// other lines have replaced them, they are put there again: some middlewares copy whole
// header fields.
func (l *Lines) Apply(h http.Header) {
	if l.field != "" {
		h[l.field] = []string{l.value}
		return
	}
	delete(h, l.dropped)
	if slices.Equal(l.lines, l.applied) && (len(h[setCookie]) == 0 || l.in(h)) {
		return
	}
	if len(l.applied) > 0 {
		h[setCookie] = slices.DeleteFunc(h[setCookie], func(line string) bool { return slices.Contains(l.applied, line) })
	}
	h[setCookie] = append(h[setCookie], l.lines...)
	if len(h[setCookie]) == 0 {
		delete(h, setCookie)
	}
	l.applied = l.lines
}

// in reports whether a header has all lines.
func (l *Lines) in(h http.Header) bool {
	return !slices.ContainsFunc(l.lines, func(line string) bool { return !slices.Contains(h[setCookie], line) })
}

// add adds a line. A Domain, and a SameSite other than Lax, come before the other attributes.
// The order means nothing to browsers, but gin-contrib's tests look for them there.
func (l *Lines) add(name, value string, f Form) {
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
		return // the name is not possible, and Check has returned an error for it
	}
	end := strings.IndexByte(line, ';')
	l.lines = append(l.lines, line[:end]+first+line[end:])
}

// DropForeign removes the lines from h that set the cookie of this name to the token of
// another visitor. Such a line comes from a cache within the application that has kept the
// response to that visitor. foreign reports whether a value is such a token.
func DropForeign(h http.Header, name string, foreign func(value string) bool) {
	isForeign := func(line string) bool {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || !strings.HasPrefix(rest, "=") {
			return false
		}
		value, _, _ := strings.Cut(rest[1:], ";")
		return foreign(strings.Trim(value, " \t\""))
	}
	if slices.ContainsFunc(h[setCookie], isForeign) {
		h[setCookie] = slices.DeleteFunc(slices.Clone(h[setCookie]), isForeign)
		if len(h[setCookie]) == 0 {
			delete(h, setCookie)
		}
	}
}

// DropForeignField does the same for the header field that has the token instead.
func DropForeignField(h http.Header, field string, foreign func(value string) bool) {
	if !slices.ContainsFunc(h[field], foreign) {
		return
	}
	h[field] = slices.DeleteFunc(slices.Clone(h[field]), foreign)
	if len(h[field]) == 0 {
		delete(h, field)
	}
}

// maxFolders is for how many folders of a request's path Elsewhere returns places, and
// maxPath how long a folder may be: a browser ignores a longer Path (RFC 6265bis, section
// 5.6).
const (
	maxFolders = 6
	maxPath    = 1024
)

// Elsewhere returns the places in these domains from which the browser may have sent a cookie
// with this request. RFC 6265, section 5.1.4, says which paths match. "" is the domain of a
// cookie without a Domain.
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
