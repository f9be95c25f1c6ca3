package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// checks run fragments and look at what comes of it.
var checks = map[string]func() error{
	"login and logout":                     func() error { return loginAndLogout() },
	"login and logout, with lazy creation": func() error { return loginAndLogout(lifecycle.WithLazyCreation()) },
	"cleanup with a key":                   cleanupWithKey,
	"cleanup of one session":               cleanup,
	"a context of a session":               sessionContext,
	"remember me":                          rememberMe,
	"several managers":                     severalManagers,
	"queries":                              queries,
	"all sessions of one user":             sessionsOfOneUser,
	"the dead set":                         deadSet,
}

func loginAndLogout(opts ...lifecycle.Option) error {
	s, err := newSite(opts...)
	if err != nil {
		return err
	}
	defer s.close()
	if err := run("docs/guide.md#login-and-logout 1"); err != nil {
		return err
	}
	router.GET("/", func(*gin.Context) {})
	v := new(visitor)
	v.get("/")
	before := *v
	if got := v.post("/login", "user", "ann"); got != "200 hello ann" {
		return fmt.Errorf("login: %s", got)
	}
	if v.cookie == nil || before.cookie != nil && v.cookie.Value == before.cookie.Value {
		return errors.New("the login has set no new cookie")
	}
	if before.cookie != nil {
		if got := before.post("/login", "user", "ann"); !strings.HasPrefix(got, "303") {
			return fmt.Errorf("clicked twice: %s", got)
		}
	}
	if got := v.post("/logout"); got != "200 bye" || v.cookie != nil {
		return fmt.Errorf("logout: %s, cookie %v", got, v.cookie)
	}
	if got := new(visitor).post("/logout"); got != "200 bye" {
		return fmt.Errorf("logout without a session: %s", got)
	}
	ended, err := s.next()
	if err == nil && (ended.Get("user") != "ann" || ended.Reason != lifecycle.ReasonDestroyed) {
		err = fmt.Errorf("ended: %v, %s", ended.Get("user"), ended.Reason)
	}
	return err
}

func cleanupWithKey() error {
	s, err := newSite()
	if err != nil {
		return err
	}
	defer s.close()
	if err := run("docs/guide.md#cleanup-of-one-session 1"); err != nil {
		return err
	}
	v := new(visitor)
	for _, room := range []string{"red", "red", "blue", "red"} {
		if got := v.post("/rooms/" + room); got != "200 you are in" {
			return errors.New(got)
		}
	}
	if n := manager.Stats().Closures; n != 2 {
		return fmt.Errorf("%d closures for two rooms", n)
	}
	return nil
}

// sessionContext reads a stream until the session ends.
func sessionContext() error {
	s, err := newSite()
	if err != nil {
		return err
	}
	defer s.close()
	events = make(chan string)
	if err := run("docs/guide.md#a-context-that-ends-with-the-session 1"); err != nil {
		return err
	}
	router.GET("/", func(*gin.Context) {})
	v := new(visitor)
	v.get("/")
	server := httptest.NewServer(router)
	defer server.Close()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/events", http.NoBody)
	if err != nil {
		return err
	}
	r.AddCookie(v.cookie)
	go func() { events <- "hello" }() // the response begins with it
	response, err := server.Client().Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if err := manager.Destroy(ctx, v.id(), "closing time"); err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body) // to the end of the stream
	if want := "event:event\ndata:hello\n\nevent:end\ndata:lifecycle: the session has ended: closing time\n\n"; err == nil && string(body) != want {
		err = fmt.Errorf("stream %q, want %q", body, want)
	}
	return err
}

func cleanup() error {
	s, err := newSite()
	if err != nil {
		return err
	}
	defer s.close()
	if err := run("docs/guide.md#cleanup-of-one-session 2"); err != nil {
		return err
	}
	v := new(visitor)
	for _, want := range []string{"200 open", "200 still open", "200 still open"} {
		if got := v.get("/editor"); got != want {
			return fmt.Errorf("%s, want %s", got, want)
		}
	}
	if n := manager.Stats().Closures; n != 1 {
		return fmt.Errorf("%d closures for one session", n)
	}
	foreign := httptest.NewRequest(http.MethodGet, "/editor", nil)
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	foreign.Header.Set("Sec-Fetch-Mode", "no-cors")
	foreign.Header.Set("Sec-Fetch-Dest", "image")
	if got := new(visitor).send(foreign); !strings.HasPrefix(got, "403") {
		return fmt.Errorf("from another site: %s", got)
	}
	if err := manager.Destroy(ctx, v.id(), ""); err != nil {
		return err
	}
	if _, err := s.next(); err != nil { // the closures run before it
		return err
	}
	if n := manager.Stats().Closures; n != 0 {
		return fmt.Errorf("after the end %d closures wait", n)
	}
	if got := v.get("/editor"); got != "200 open" {
		return fmt.Errorf("in a new session: %s", got)
	}
	return nil
}

func rememberMe() error {
	s, err := newSite()
	if err != nil {
		return err
	}
	defer s.close()
	if err := run("docs/guide.md#remember-me 1"); err != nil {
		return err
	}
	const age = 7 * 24 * time.Hour
	v := new(visitor)
	for range 2 { // until the cookie has come back the session is a short one
		if got := v.post("/remember"); got != "200 " {
			return fmt.Errorf("POST /remember: %s", got)
		}
	}
	live, err := manager.Get(ctx, v.id())
	if err != nil {
		return err
	}
	// Both times are estimates of the Redis server's clock.
	if v.cookie.MaxAge != int(age.Seconds()) || live.ExpiresAt.Sub(live.LastSeenAt).Round(time.Minute) != age {
		return fmt.Errorf("cookie %v, session from %v to %v", v.cookie, live.LastSeenAt, live.ExpiresAt)
	}
	return nil
}

func severalManagers() error {
	s, err := newSite()
	if err != nil {
		return err
	}
	defer s.close()
	router = gin.New()
	if err := run("docs/guide.md#several-managers 1"); err != nil {
		return err
	}
	router.GET("/", func(*gin.Context) {})
	v := new(visitor)
	v.get("/")
	if v.cookie == nil || v.cookie.Name != "admin" {
		return fmt.Errorf("cookie %v", v.cookie)
	}
	return nil
}

func queries() error {
	s, err := newSite()
	if err != nil {
		return err
	}
	defer s.close()
	router.GET("/", func(*gin.Context) {})
	v := new(visitor)
	v.get("/")
	id = v.id()
	for _, name := range []string{"docs/guide.md#queries 2", "docs/guide.md#queries 1", "docs/guide.md#queries 1"} {
		if err := run(name); err != nil {
			return err
		}
	}
	ended, err := s.next()
	if err == nil && (ended.ID != id || ended.Reason != "banned") {
		err = fmt.Errorf("ended: %s, %s", ended.ID, ended.Reason)
	}
	return err
}

func sessionsOfOneUser() error {
	s, err := newSite()
	if err != nil {
		return err
	}
	defer s.close()
	if err := run("docs/guide.md#login-and-logout 1"); err != nil {
		return err
	}
	for _, user := range []string{"bob", "ann"} {
		if got := new(visitor).post("/login", "user", user); got != "200 hello "+user {
			return fmt.Errorf("login: %s", got)
		}
	}
	if err := run("docs/guide.md#all-sessions-of-one-user 1"); err != nil {
		return err
	}
	ended, err := s.next()
	if err == nil && (ended.Get("user") != "ann" || ended.Reason != "password changed") {
		err = fmt.Errorf("ended: %v, %s", ended.Get("user"), ended.Reason)
	}
	for s, err := range manager.All(ctx) {
		if err != nil || s.Get("user") != "bob" {
			return fmt.Errorf("a session of %v is left: %w", s.Get("user"), err)
		}
	}
	return err
}

func deadSet() error {
	s, err := newSite(lifecycle.WithRetry(1, time.Second, time.Second))
	if err != nil {
		return err
	}
	defer s.close()
	s.fail.Store(true)
	router.GET("/", func(*gin.Context) {})
	v := new(visitor)
	v.get("/")
	if err := manager.Destroy(ctx, v.id(), ""); err != nil {
		return err
	}
	if _, err := s.next(); err != nil {
		return err
	}
	if err := redistest.Poll(redistest.Patience, func() bool { return manager.Stats().Buried == 1 }); err != nil {
		return fmt.Errorf("the end did not come into the dead set: %w", err)
	}
	s.fail.Store(false)
	if err := run("docs/guide.md#the-dead-set 1"); err != nil {
		return err
	}
	again, err := s.next()
	if err == nil && (again.ID != v.id() || again.Attempt != 2) {
		err = fmt.Errorf("attempt %d of session %s", again.Attempt, again.ID)
	}
	return err
}
