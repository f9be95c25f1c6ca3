package cookie

import (
	"net/http"
	"slices"
	"strings"
)

// MarkCached sets Vary and Cache-Control in the header of a response, so that caches handle
// it correctly. The response depends on the cookie. If it sets a cookie, a shared cache must
// not keep it, and no cache may use its Set-Cookie lines again (RFC 9111, sections 5.2.2.7
// and 5.2.2.4). What the application has set stays where it is stricter. Calling MarkCached
// again changes nothing.
//
// field is the header field that may have the token instead, "" for none. Caches must not
// store a response with it at all: a cache would not know that it is a secret.
func MarkCached(h http.Header, field string) {
	const cacheControl = "Cache-Control"
	for _, name := range []string{"Cookie", field} {
		if name != "" && !listHas(h["Vary"], name) {
			h["Vary"] = append(h["Vary"], name)
		}
	}
	if field != "" && len(h[field]) > 0 {
		h[cacheControl] = []string{"no-store"}
		return
	}
	if len(h[setCookie]) == 0 {
		return
	}
	directives := split(h[cacheControl])
	has := func(name string) bool {
		return slices.ContainsFunc(directives, func(d string) bool { return strings.EqualFold(d, name) })
	}
	if has("no-store") {
		return
	}
	const qualified = `no-cache="Set-Cookie"`
	if !has("no-cache") && !has(qualified) {
		directives = append(directives, qualified)
	}
	if !has("private") {
		directives = append(directives, "private")
	}
	// These two allow shared caches what private forbids.
	directives = slices.DeleteFunc(directives, func(d string) bool {
		name, _, _ := strings.Cut(d, "=")
		return strings.EqualFold(name, "public") || strings.EqualFold(strings.TrimSpace(name), "s-maxage")
	})
	h[cacheControl] = []string{strings.Join(directives, ", ")}
}

// listHas reports whether the list in the lines of a header has an item, or "*".
func listHas(lines []string, item string) bool {
	for _, line := range lines {
		for field := range strings.SplitSeq(line, ",") {
			if field = strings.TrimSpace(field); field == "*" || strings.EqualFold(field, item) {
				return true
			}
		}
	}
	return false
}

// split returns the directives in the lines of Cache-Control. A comma within quotes does not
// separate two of them.
func split(lines []string) (directives []string) {
	for _, line := range lines {
		quoted, start := false, 0
		take := func(end int) {
			if d := strings.TrimSpace(line[start:end]); d != "" {
				directives = append(directives, d)
			}
			start = end + 1
		}
		for i := range len(line) {
			switch {
			case line[i] == '"':
				quoted = !quoted
			case line[i] == ',' && !quoted:
				take(i)
			}
		}
		if start < len(line) {
			take(len(line))
		}
	}
	return directives
}
