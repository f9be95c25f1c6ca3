package cookie

import (
	"net/http"
	"slices"
	"strings"
)

// MarkCached says in a response's header what caches may do with it: it depends on the
// cookie, and where it sets one, a shared cache must not keep it and any cache must not
// use its Set-Cookie again (RFC 9111, sections 5.2.2.4 and 5.2.2.7). What the application
// has said stands where it is stricter. To call it again changes nothing.
func MarkCached(h http.Header) {
	if !listHas(h["Vary"], "Cookie") {
		h["Vary"] = append(h["Vary"], "Cookie")
	}
	if len(h[setCookie]) == 0 {
		return
	}
	const cacheControl = "Cache-Control"
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
	// Both would allow shared caches what private forbids.
	directives = slices.DeleteFunc(directives, func(d string) bool {
		name, _, _ := strings.Cut(d, "=")
		return strings.EqualFold(name, "public") || strings.EqualFold(strings.TrimSpace(name), "s-maxage")
	})
	h[cacheControl] = []string{strings.Join(directives, ", ")}
}

// listHas reports whether a list in a header has an item, or is "*".
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

// split returns the directives of Cache-Control lines; a comma within quotes divides none.
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
