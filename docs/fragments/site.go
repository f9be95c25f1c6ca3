package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/embedded"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// site is an application for one check, on a Redis of its own.
type site struct {
	redis *embedded.Client
	ended chan *lifecycle.Session // each call of the destroyed hook
	fail  atomic.Bool             // the destroyed hook
}

// newSite sets rdb, store, manager and router. The router has the manager's middleware.
func newSite(opts ...lifecycle.Option) (*site, error) {
	client, err := embedded.Start()
	if err != nil {
		return nil, err
	}
	s := &site{redis: client, ended: make(chan *lifecycle.Session, 10)}
	rdb = client.Client
	if store, err = lifecycle.NewStore(rdb, append(opts, lifecycle.WithNotifications(false))...); err != nil {
		return nil, err
	}
	if manager, err = lifecycle.New(store); err != nil {
		return nil, err
	}
	manager.OnSessionDestroyed(func(_ context.Context, session *lifecycle.Session) error {
		s.ended <- session
		if s.fail.Load() {
			return errors.New("told to fail")
		}
		return nil
	})
	router = gin.New()
	router.Use(sessions.Sessions("session", store), manager.Middleware())
	return s, manager.Start(ctx)
}

// next returns what the next call of the destroyed hook was given.
func (s *site) next() (*lifecycle.Session, error) {
	select {
	case session := <-s.ended:
		return session, nil
	case <-time.After(redistest.Patience):
		return nil, errors.New("the destroyed hook is not called")
	}
}

func (s *site) close() {
	_ = manager.Shutdown(ctx) // what the check is about has been seen
	_ = s.redis.Close()
}

// visitor is a client that keeps one cookie.
type visitor struct{ cookie *http.Cookie }

// get sends a request and returns the status and the body.
func (v *visitor) get(path string) string {
	return v.send(httptest.NewRequest(http.MethodGet, path, nil))
}

// post sends a form and returns the status and the body.
func (v *visitor) post(path string, pairs ...string) string {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.send(r)
}

func (v *visitor) send(r *http.Request) string {
	if v.cookie != nil {
		r.AddCookie(v.cookie)
	}
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if v.cookie = c; c.MaxAge < 0 {
			v.cookie = nil
		}
	}
	return fmt.Sprintf("%d %s", w.Code, w.Body)
}

// id returns the ID of the visitor's session, which is the first part of the cookie.
func (v *visitor) id() string {
	if v.cookie == nil {
		return ""
	}
	id, _, _ := strings.Cut(v.cookie.Value, ".")
	return id
}
