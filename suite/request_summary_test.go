package suite_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The library keeps a limited part of a session's first request, however long its URI and
// its headers are, and however many there are.
func TestRequestsAreKeptInPart(t *testing.T) {
	t.Parallel()
	d := shared(t)
	names := []string{"X-Tag"}
	for i := range 40 {
		names = append(names, "X-"+string(rune('A'+i%26))+strings.Repeat("a", i))
	}
	a := newApp(t, d, redistest.Prefix(), lifecycle.WithRequestHeaders(names...))
	r := httptest.NewRequest(http.MethodGet, "/?"+strings.Repeat("q", 100_000), nil)
	r.Header.Set("User-Agent", strings.Repeat("u", 100_000))
	r.Host = strings.Repeat("h", 10_000)
	r.Header["X-Tag"] = slices.Repeat([]string{strings.Repeat("t", 800)}, 1000)
	for _, n := range names[1:] {
		r.Header[http.CanonicalHeaderKey(n)] = slices.Repeat([]string{""}, 100)
	}
	w := httptest.NewRecorder()
	a.router.ServeHTTP(w, r)
	s := a.nextCreated()
	lines, sum := 0, 0
	for k, vs := range s.Request.Header {
		for _, v := range vs {
			lines++
			sum += len(k) + len(v)
		}
	}
	if len(s.Request.URI) != 2048 || len(s.Request.UserAgent) != 512 || len(s.Request.Host) != 512 || lines == 0 || lines > 32 || sum > 2048 {
		t.Errorf("URI %d, user agent %d, host %d, %d lines of %d bytes", len(s.Request.URI), len(s.Request.UserAgent), len(s.Request.Host), lines, sum)
	}
	if n := a.admin.StrLen(redistest.Within(t), a.key("session:*")).Val(); n > 6000 {
		t.Errorf("the record has %d bytes", n)
	}
}

// WithRequestSummary lets the application remove parts of a request, so that they are never
// kept.
func TestRequestSummary(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithRequestHeaders("X-Tag"), lifecycle.WithRequestSummary(func(r *lifecycle.Request) {
		r.URI, _, _ = strings.Cut(r.URI, "?")
		r.ClientIP, r.UserAgent = "", ""
		r.Header.Del("X-Tag")
	}))
	a.visit(new(visitor), "/?token=reset-secret", "User-Agent", "agent-secret", "X-Tag", "tag-secret")
	s := a.nextCreated()
	if got := s.Request; got.URI != "/" || got.ClientIP != "" || got.UserAgent != "" || len(got.Header) != 0 || got.Method != http.MethodGet {
		t.Errorf("kept: %+v", got)
	}
	if rec := a.admin.Get(redistest.Within(t), a.key("session:*")).Val(); strings.Contains(rec, "secret") || strings.Contains(rec, "192.0.2.1") {
		t.Errorf("the record has parts that the application has removed: %q", rec)
	}
	a.end(s.ID, "")
	a.nextDestroyed()
	redistest.Eventually(t, "the record is gone", func() bool { return len(a.keys("session:*")) == 0 })
	// The same holds for a store without the middleware.
	a.bare().ok(new(visitor), "/age?n=60&token=reset-secret")
	if rec := a.admin.Get(redistest.Within(t), a.key("session:*")).Val(); strings.Contains(rec, "secret") {
		t.Errorf("the record has parts that the application has removed: %q", rec)
	}
}
