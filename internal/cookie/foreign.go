package cookie

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// IsPreflight reports whether r is a preflight request, by which a browser asks whether it may
// send another request (the Fetch standard, "CORS-preflight request"). It has no cookies.
func IsPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// IsWebSocket reports whether r asks for a WebSocket over HTTP/1.1 (RFC 6455, section 4.1). Who
// answers it writes a header of its own, in which a cookie may be missing.
func IsWebSocket(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// IsForeign reports whether r is a cross-site request that is not a link, a redirect or the
// like to a page. Such a request has no Lax cookie, even if the visitor has one (RFC 6265bis,
// section 5.8.3).
//
// Browsers say so in Fetch Metadata (W3C). Browsers from before 2023 do not send it, and no
// browser does without TLS. Then the Origin of a request that is neither GET nor HEAD decides:
// the request is cross-site if the site of the Origin is neither that of the Host nor one that
// a proxy names in X-Forwarded-Host.
func IsForeign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site":
		return !isPage(r)
	case "":
		return r.Method != http.MethodGet && r.Method != http.MethodHead && foreignOrigin(r)
	}
	return false
}

// IsForeignLink reports whether a browser says that the visitor has come from another site to
// a page of this one. Such a request has Lax cookies and no Strict ones.
func IsForeignLink(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "cross-site" && isPage(r)
}

// isPage reports whether a browser says that r asks for a page to show in its window.
func isPage(r *http.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && (dest == "document" || dest == "")
}

// foreignOrigin reports whether r has an Origin of another site.
func foreignOrigin(r *http.Request) bool {
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || origin.Hostname() == "" || origin.Scheme != "http" && origin.Scheme != "https" {
		// There is no Origin, or it is "null", as from a page that sends no referrer, or it is
		// that of an app.
		return false
	}
	from := site(origin.Hostname())
	hosts := append(strings.Split(r.Header.Get("X-Forwarded-Host"), ","), r.Host)
	for _, host := range hosts {
		own := url.URL{Host: strings.TrimSpace(host)}
		if site(own.Hostname()) == from {
			return false
		}
	}
	return true
}

// site returns the site of a host: the part of its name that belongs to one owner.
func site(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if net.ParseIP(host) != nil {
		return host
	}
	if s, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return s
	}
	return host
}
