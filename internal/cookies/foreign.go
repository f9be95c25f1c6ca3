package cookies

import "net/http"

// IsPreflight reports whether a browser asks whether it may send another request (the
// Fetch standard, "CORS-preflight request"). It carries no cookies.
func IsPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// IsForeign reports whether a browser says, by Fetch Metadata (W3C), that another site has
// made it send this request, and not by a link, a redirect or the like to a page of its own.
// Such a request carries no Lax cookie even if the visitor has one (RFC 6265bis, section
// 5.8.3). Browsers before 2023 may not say it.
func IsForeign(r *http.Request) bool {
	if r.Header.Get("Sec-Fetch-Site") != "cross-site" {
		return false
	}
	dest := r.Header.Get("Sec-Fetch-Dest")
	page := r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && (dest == "document" || dest == "")
	return !page
}
