package lifecycle

import (
	"maps"
	"net"
	"net/http"
	"slices"

	"github.com/gin-lifecycle/lifecycle/internal/record"
)

// Limits of what is kept of a request, in bytes. It is read from Redis with every request
// of the session.
const (
	maxURI         = 2048
	maxText        = 512
	maxHeaderLines = 32
	maxHeader      = 2048 // names and values of all lines together
)

// summary returns what is kept of the request that begins the session.
func (b *binding) summary(r *http.Request) record.Request {
	sum := Request{
		Method:    r.Method,
		URI:       r.URL.RequestURI(),
		Host:      r.Host,
		UserAgent: r.UserAgent(),
	}
	if b.gin != nil {
		sum.ClientIP = b.gin.ClientIP()
	} else if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		sum.ClientIP = host
	}
	if len(b.headers) > 0 {
		sum.Header = make(http.Header)
		for _, name := range b.headers {
			if lines := r.Header[name]; len(lines) > 0 {
				sum.Header[name] = slices.Clone(lines)
			}
		}
	}
	if edit := b.store.config.summary; edit != nil {
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

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
