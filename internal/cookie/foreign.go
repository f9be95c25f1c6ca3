package cookie

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// IsPreflight reports whether a browser asks whether it may send another request (the
// Fetch standard, "CORS-preflight request"). It carries no cookies.
func IsPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// IsForeign reports whether a browser says that another site has made it send this request,
// and not by a link, a redirect or the like to a page of its own. Such a request carries no
// Lax cookie even if the visitor has one (RFC 6265bis, section 5.8.3).
//
// Fetch Metadata (W3C) says it. Browsers from before 2023, and all where TLS is missing, send
// none: there the origin of what is no GET says it, if its site is not that of the host, nor
// of the one that a proxy names.
func IsForeign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site":
		return !isPage(r)
	case "":
		return r.Method != http.MethodGet && r.Method != http.MethodHead && foreignOrigin(r)
	}
	return false
}

// IsForeignLink reports whether a browser says that a visitor has come from another site to a
// page of this one. Such a request carries Lax cookies and no Strict ones.
func IsForeignLink(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "cross-site" && isPage(r)
}

func isPage(r *http.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && (dest == "document" || dest == "")
}

func foreignOrigin(r *http.Request) bool {
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || origin.Hostname() == "" || origin.Scheme != "http" && origin.Scheme != "https" {
		return false // none; "null", which a page that sends no referrer says too; or an app's
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

// site returns the part of a host name that one owner has.
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
