package main

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

//go:embed templates
var templates embed.FS

// sessionName is the cookie's name. It is not just "session": browsers tell
// cookies of one host apart by name, not by port, and developers run many things
// on one host.
const sessionName = "lifecycle_example"

// Limits of what is typed, in characters.
const (
	maxName = 64
	maxNote = 200
)

// userKey is where the session's values hold the name of who signed in.
const userKey = "user"

// app is what the handlers and the hooks share.
type app struct {
	idle, absolute time.Duration
	journal        *journal
	workspaces     *workspaces
}

// handler returns the application. State changes are POSTs: with a SameSite=Lax
// cookie, the store's default, no other site can make them in a visitor's
// session. But http://localhost:3000 is the same site as this one, and signing in
// takes no session, so requests from other origins are refused as well.
func (a *app) handler(store sessions.Store) (http.Handler, error) {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	// No proxy stands in front: the client's address is the connection's.
	if err := router.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	pages, err := template.ParseFS(templates, "templates/*.html")
	if err != nil {
		return nil, err
	}
	router.SetHTMLTemplate(pages)
	router.Use(gin.Recovery(), func(c *gin.Context) { c.Header("Cache-Control", "no-store") })
	router.NoRoute(func(c *gin.Context) { message(c, http.StatusNotFound, "There is no such page.") })
	// The page asks for this every second. It stays outside of the session
	// middleware, which would prolong the session each time.
	router.GET("/events", a.events)

	visitors := router.Group("/", sessions.Sessions(sessionName, store), lifecycle.Middleware())
	visitors.GET("/", lifecycle.Handler(a.home))
	visitors.POST("/sign-in", lifecycle.Handler(a.signIn))
	visitors.POST("/sign-out", lifecycle.Handler(a.signOut))
	visitors.POST("/notes", lifecycle.Handler(a.note))
	return http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(router, 1<<14)), nil
}

// sessionCreated is called in the request that begins a session.
func (a *app) sessionCreated(_ context.Context, s *lifecycle.Session) error {
	a.journal.Add(entry{
		Event:   eventCreated,
		Session: s.ID,
		Detail:  s.Request.Method + " " + s.Request.URI + " from " + s.Request.ClientIP,
	})
	return nil
}

// sessionDestroyed is called when a session has ended, on one instance.
func (a *app) sessionDestroyed(_ context.Context, s *lifecycle.Session) error {
	a.journal.Add(ended(eventDestroyed, s))
	return nil
}

// ended returns the entry of an ended session.
func ended(event string, s *lifecycle.Session) entry {
	user, _ := s.Get(userKey).(string)
	lag := max(time.Since(s.EndedAt).Milliseconds(), 0)
	return entry{Event: event, Session: s.ID, User: user, Detail: string(s.Reason), Lag: &lag}
}

func (a *app) home(c *lifecycle.Context) { a.render(c, http.StatusOK, "") }

// signIn takes any name for an answer: this is a demonstration.
func (a *app) signIn(c *lifecycle.Context) {
	name := strings.TrimSpace(c.PostForm("name"))
	if name == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName {
		a.render(c, http.StatusBadRequest, "A name has 1 to 64 characters.")
		return
	}
	session := sessions.Default(c.Context)
	if user := session.Get(userKey); user != nil && user != name {
		// The session and its notes belong to somebody.
		a.render(c, http.StatusConflict, "Sign out first: this session is somebody else's.")
		return
	}
	// Whoever knew the cookie of the visitor must not have that of the user.
	if err := c.RotateSession(); err != nil {
		fail(c.Context, err)
		return
	}
	session.Set(userKey, name)
	if err := session.Save(); err != nil {
		fail(c.Context, err)
		return
	}
	if err := a.openWorkspace(c, name); err != nil {
		fail(c.Context, err)
		return
	}
	c.Redirect(http.StatusSeeOther, "/")
}

// openWorkspace opens the session's workspace unless it is open, and sees to
// its closing.
func (a *app) openWorkspace(c *lifecycle.Context, user string) error {
	s := c.Session()
	if s == nil {
		return lifecycle.ErrSessionEnded
	}
	made, err := a.workspaces.Open(s.ID)
	if err != nil || !made {
		return err
	}
	a.journal.Add(entry{Event: eventOpened, Session: s.ID, User: user})
	err = c.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		err := a.workspaces.Close(s.ID)
		a.journal.Add(ended(eventClosed, s))
		return err
	})
	if err != nil {
		// The hook will not run, so nobody else would close it.
		return errors.Join(err, a.workspaces.Close(s.ID))
	}
	return nil
}

func (a *app) signOut(c *lifecycle.Context) {
	// One that has ended meanwhile is as good as signed out.
	if err := c.DestroySession(); err != nil && !errors.Is(err, lifecycle.ErrSessionEnded) {
		fail(c.Context, err)
		return
	}
	c.Redirect(http.StatusSeeOther, "/")
}

func (a *app) note(c *lifecycle.Context) {
	user, ok := sessions.Default(c.Context).Get(userKey).(string)
	if !ok {
		a.render(c, http.StatusUnauthorized, "Sign in to take notes. If you were, that session has ended.")
		return
	}
	note := strings.Join(strings.Fields(c.PostForm("note")), " ") // one line
	if note == "" || !utf8.ValidString(note) || utf8.RuneCountInString(note) > maxNote {
		a.render(c, http.StatusBadRequest, "A note has 1 to 200 characters.")
		return
	}
	// A session in a real Redis survives a restart of the application, its
	// workspace does not.
	err := a.openWorkspace(c, user)
	if err == nil {
		err = a.workspaces.Append(c.Session().ID, note)
	}
	switch {
	case errors.Is(err, errWorkspaceFull):
		a.render(c, http.StatusInsufficientStorage, "The notepad is full.")
	case err != nil:
		fail(c.Context, err)
	default:
		c.Redirect(http.StatusSeeOther, "/")
	}
}

// fail answers a request whose session cannot be had or kept. The middleware
// calls it too.
func fail(c *gin.Context, err error) {
	switch {
	case errors.Is(err, lifecycle.ErrSessionEnded), errors.Is(err, errWorkspaceClosed):
		message(c, http.StatusConflict, "Your session has ended meanwhile.")
		return
	case errors.Is(err, lifecycle.ErrSessionWithheld):
		message(c, http.StatusForbidden, "This request came twice, or from another site. Reload the page and try again.")
		return
	case errors.Is(err, lifecycle.ErrUnavailable):
		message(c, http.StatusServiceUnavailable, "Redis does not answer. Try again in a moment.")
	default:
		message(c, http.StatusInternalServerError, "Something went wrong.")
	}
	slog.Error("example: a request failed", "path", c.Request.URL.Path, "error", err)
}
