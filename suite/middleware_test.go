package suite_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The middleware fails every request if it is used wrongly. The error, and one line of the
// log, say what is wrong. A handler that needs the middleware panics without it.
func TestMiddlewareUsedWrongly(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	other := newApp(t, shared(t), redistest.Prefix())
	serve := func(use ...gin.HandlerFunc) {
		r := gin.New()
		r.Use(use...)
		r.GET("/", func(*gin.Context) { t.Error("the handler runs") })
		for range 2 {
			w := httptest.NewRecorder()
			if r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil)); w.Code != http.StatusInternalServerError {
				t.Errorf("answered with %d, want 500", w.Code)
			}
		}
	}
	for want, before := range map[string]gin.HandlerFunc{
		"another store":                  sessions.Sessions("session", other.store),
		"has no session":                 sessions.SessionsMany([]string{"a", "b"}, a.store),
		`session \"session\" of another`: sessions.Sessions("session", foreignStore{}),
	} {
		var failure error
		m, err := lifecycle.New(a.store, lifecycle.WithErrorHandler(func(c *gin.Context, err error) {
			failure = err
			c.AbortWithStatus(http.StatusInternalServerError)
		}))
		if err != nil {
			t.Fatal(err)
		}
		said := strings.Count(a.log.String(), want)
		serve(before, m.Middleware())
		if failure == nil || !strings.Contains(strconv.Quote(failure.Error()), want) {
			t.Errorf("the error is %v, want one with %s", failure, want)
		}
		if n := strings.Count(a.log.String(), want) - said; n != 1 {
			t.Errorf("the log has %d more lines with %s, want one", n, want)
		}
	}
	second, err := lifecycle.New(a.store, lifecycle.WithErrorHandler(func(c *gin.Context, err error) {
		if !strings.Contains(err.Error(), "another manager") {
			t.Errorf("two managers with one session: %v", err)
		}
		c.AbortWithStatus(http.StatusInternalServerError)
	}))
	if err != nil {
		t.Fatal(err)
	}
	serve(a.m.Middleware(), second.Middleware())
	for _, h := range []gin.HandlerFunc{lifecycle.Handler(func(*lifecycle.Context) {}), other.m.Handler(func(*lifecycle.Context) {})} {
		mustPanic(t, "Middleware()", func() {
			r := gin.New()
			r.GET("/", h)
			r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		})
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

// A function that calls sessions.Sessions and then the middleware runs the handlers before the
// middleware. The log says so.
func TestMiddlewareAfterTheHandlers(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	install, follow := sessions.Sessions("session", a.store), a.m.Middleware()
	r := gin.New()
	r.Use(func(c *gin.Context) {
		install(c)
		follow(c)
	})
	r.GET("/", func(c *gin.Context) { c.String(http.StatusOK, "%v", sessions.Default(c).Get("user")) })
	for range 2 {
		w := httptest.NewRecorder()
		if r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil)); w.Code != http.StatusOK || w.Body.String() != "<nil>" || len(a.created) > 0 {
			t.Errorf("answered with %d %s", w.Code, w.Body)
		}
	}
	if n := a.warned("whose response had begun", "sessions.Sessions"); n != 1 {
		t.Errorf("%d lines of the log", n)
	}
}

// The tests of an application may serve one request several times. Each time it has a session
// that can be used.
func TestOneRequestSeveralTimes(t *testing.T) {
	t.Parallel()
	for _, contrib := range []bool{false, true} {
		a := newApp(t, shared(t), redistest.Prefix())
		b := a
		if contrib {
			b = a.with(sessions.Sessions("session", a.store), a.m.Middleware())
			b.pages()
		}
		stranger := httptest.NewRequest(http.MethodGet, "/set?k=v", nil)
		seen := make(map[string]bool)
		id, v := a.begin()
		known := httptest.NewRequest(http.MethodGet, "/set?k=v", nil)
		known.Header.Set("Cookie", v.cookie)
		for range 3 {
			w := httptest.NewRecorder()
			b.router.ServeHTTP(w, stranger)
			seen[w.Body.String()] = w.Code == http.StatusOK
			w = httptest.NewRecorder()
			if b.router.ServeHTTP(w, known); w.Code != http.StatusOK || w.Body.String() != id {
				t.Errorf("contrib %v: %d, session %s, want %s", contrib, w.Code, w.Body, id)
			}
		}
		if len(seen) != 3 {
			t.Errorf("contrib %v: a stranger has the sessions %v, want three", contrib, seen)
		}
		for id, ok := range seen {
			if !ok || a.values(id)["k"] != "v" {
				t.Errorf("contrib %v: session %q was not saved", contrib, id)
			}
		}
	}
}
