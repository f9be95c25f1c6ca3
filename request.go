package lifecycle

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle/internal/record"
)

// Request is what is kept of the request that began a session; WithRequestSummary can change
// it. Long texts are cut: the URI at 2,048 bytes, everything else at 512.
type Request struct {
	Method    string
	URI       string // path and query
	Host      string
	ClientIP  string // what gin's ClientIP returns; behind a proxy see gin's SetTrustedProxies
	UserAgent string
	// Header holds the fields that WithRequestHeaders names, 2,048 bytes at most.
	Header http.Header
}

// Limits of what is kept of a request, in bytes. It is read from Redis with every request
// of the session.
const (
	maxURI         = 2048
	maxText        = 512
	maxHeaderLines = 32
	maxHeader      = 2048 // names and values of all lines together
)

// summary returns what is kept of the request that begins a session. clientIP is the address
// of the client. headers names the header fields to keep. edit is the application's function
// to change the summary, or nil.
func summary(r *http.Request, clientIP string, headers []string, edit func(*Request)) record.Request {
	sum := Request{
		Method:    r.Method,
		URI:       r.URL.RequestURI(),
		Host:      r.Host,
		ClientIP:  clientIP,
		UserAgent: r.UserAgent(),
	}
	if len(headers) > 0 {
		sum.Header = make(http.Header)
		for _, name := range headers {
			if lines := r.Header[name]; len(lines) > 0 {
				sum.Header[name] = slices.Clone(lines)
			}
		}
	}
	if edit != nil {
		if sum.Header == nil {
			sum.Header = make(http.Header)
		}
		edit(&sum)
	}
	return sum.bounded()
}

// bounded returns the summary within the limits.
func (s *Request) bounded() record.Request {
	out := record.Request{
		Method:    cut(s.Method, maxText),
		URI:       cut(s.URI, maxURI),
		Host:      cut(s.Host, maxText),
		ClientIP:  cut(s.ClientIP, maxText),
		UserAgent: cut(s.UserAgent, maxText),
	}
	room := maxHeader
	for _, name := range slices.Sorted(maps.Keys(s.Header)) {
		for _, v := range s.Header[name] {
			v = cut(v, maxText)
			if room -= len(name) + len(v); room < 0 || len(out.Header) == maxHeaderLines {
				return out
			}
			out.Header = append(out.Header, record.Field{Name: name, Value: v})
		}
	}
	return out
}

// requestOf is the inverse of bounded.
func requestOf(rec record.Request) Request {
	r := Request{
		Method:    rec.Method,
		URI:       rec.URI,
		Host:      rec.Host,
		ClientIP:  rec.ClientIP,
		UserAgent: rec.UserAgent,
	}
	if len(rec.Header) > 0 {
		r.Header = make(http.Header, len(rec.Header))
		for _, f := range rec.Header {
			r.Header.Add(f.Name, f.Value)
		}
	}
	return r
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// forwardedTLS reports whether a proxy that gin trusts says that it got the request over
// TLS.
func forwardedTLS(c *gin.Context) bool {
	proto, _, _ := strings.Cut(c.GetHeader("X-Forwarded-Proto"), ",") // the first value is that of the proxy that the client connected to
	if !strings.EqualFold(strings.TrimSpace(proto), "https") {
		return false
	}
	// gin does not say which proxies it trusts. But it uses their X-Forwarded-For: if gin
	// takes over this address, it trusts the proxy.
	client := "192.0.2.1"
	if c.RemoteIP() == client {
		client = "192.0.2.2"
	}
	probe := c.Copy()
	probe.Request = &http.Request{
		RemoteAddr: c.Request.RemoteAddr,
		Header:     http.Header{"X-Forwarded-For": {client}, "X-Real-Ip": {client}},
	}
	probe.Request = probe.Request.WithContext(c.Request.Context()) // gin reads from it whether this is a Unix socket
	return probe.ClientIP() == client
}
