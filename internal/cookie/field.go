package cookie

import "strings"

// HasMeaning reports whether a header field, its name in the canonical form, means something to
// servers, browsers, proxies or caches, so that it can carry no token: the fields of RFC 9110 to
// 9112 that applications may meet, those of cookies and CORS, and whole families by their first
// word.
func HasMeaning(field string) bool {
	family, _, _ := strings.Cut(field, "-")
	return families[family] || fields[field]
}

var families = map[string]bool{
	"Accept": true, "Access": true, "Content": true, "If": true, "Proxy": true, "Sec": true,
}

var fields = map[string]bool{
	"Age": true, "Allow": true, "Alt-Svc": true, "Authorization": true, "Cache-Control": true,
	"Connection": true, "Cookie": true, "Date": true, "Etag": true, "Expect": true,
	"Expires": true, "Forwarded": true, "From": true, "Host": true, "Keep-Alive": true,
	"Last-Modified": true, "Link": true, "Location": true, "Origin": true, "Pragma": true,
	"Range": true, "Referer": true, "Refresh": true, "Retry-After": true, "Server": true,
	"Set-Cookie": true, "Strict-Transport-Security": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true, "User-Agent": true, "Vary": true, "Via": true,
	"Www-Authenticate": true, "X-Forwarded-For": true, "X-Forwarded-Host": true,
	"X-Forwarded-Proto": true, "X-Real-Ip": true,
}
