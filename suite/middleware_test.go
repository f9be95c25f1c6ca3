package suite_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The middleware panics, or fails the request, if it is installed in a wrong way. The message
// says what is wrong.
func TestMiddlewareWithoutASession(t *testing.T) {
	t.Parallel()
	serve := func(use ...gin.HandlerFunc) func() {
		return func() {
			r := gin.New()
			r.Use(use...)
			r.GET("/", func(*gin.Context) {})
			r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		}
	}
	a := newApp(t, shared(t), redistest.Prefix())
	mustPanic(t, "SessionsMany", serve(sessions.SessionsMany([]string{"a", "b"}, a.store), a.m.Middleware()))
	mustPanic(t, "lifecycle.NewStore", serve(sessions.Sessions("s", foreignStore{}), a.m.Middleware()))
	mustPanic(t, "lifecycle.Middleware()", serve(lifecycle.Handler(func(*lifecycle.Context) {})))
	other := newApp(t, shared(t), redistest.Prefix())
	var failure error
	m, err := lifecycle.New(a.store, lifecycle.WithErrorHandler(func(_ *gin.Context, err error) { failure = err }))
	if err != nil {
		t.Fatal(err)
	}
	serve(sessions.Sessions("s", other.store), m.Middleware())()
	if failure == nil || !strings.Contains(failure.Error(), "another store") {
		t.Errorf("with the session of another store: %v", failure)
	}
}

// The middleware needs no middleware of gin-contrib in front. WithSessionName names the
// cookie.
func TestManagerInstallsTheSessionItself(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithSessionName("sid"))
	id, v := a.begin()
	if !strings.HasPrefix(v.cookie, "sid="+id+".") {
		t.Errorf("cookie: %s", v.cookie)
	}
}
