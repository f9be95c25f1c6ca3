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

// sessionName is the cookie's name. A browser sends the same cookies to every port of a host. So
// with the name "session", another program on localhost might replace this cookie.
const sessionName = "lifecycle_example"

// The longest name and note, in characters.
const (
	maxName = 64
	maxNote = 200
)

// userKey is the key of the session's value that says who has signed in.
const userKey = "user"

// app has what the handlers and the hooks share.
type app struct {
	idle, absolute time.Duration
	journal        *journal
	workspaces     *workspaces
}

// handler returns the application's pages.
//
// Everything that changes something is a POST. The session's cookie is SameSite=Lax by default, so
// another site cannot send a POST in a visitor's session. But http://localhost:3000 would be the same
// site as this one, and nobody needs a session to sign in. So the handler also refuses all POSTs from
// other origins.
func (a *app) handler(store sessions.Store) (http.Handler, error) {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	// There is no proxy in front of the application: use the address of the connection.
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
	// The page requests this every second. Behind the session middleware, each of these requests
	// would prolong the session.
	router.GET("/events", a.events)

	visitors := router.Group("/", sessions.Sessions(sessionName, store), lifecycle.Middleware())
	visitors.GET("/", lifecycle.Handler(a.home))
	visitors.POST("/sign-in", lifecycle.Handler(a.signIn))
	visitors.POST("/sign-out", lifecycle.Handler(a.signOut))
	visitors.POST("/notes", lifecycle.Handler(a.note))
	return http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(router, 1<<14)), nil
}

// sessionCreated is the global created hook. It runs in the request that begins a session.
func (a *app) sessionCreated(_ context.Context, s *lifecycle.Session) error {
	a.journal.Add(entry{
		Event:   eventCreated,
		Session: s.ID,
		Detail:  s.Request.Method + " " + s.Request.URI + " from " + s.Request.ClientIP,
	})
	return nil
}

// sessionDestroyed is the global destroyed hook. It runs after a session has ended, on one instance
// of the application.
func (a *app) sessionDestroyed(_ context.Context, s *lifecycle.Session) error {
	a.journal.Add(ended(eventDestroyed, s))
	return nil
}

// ended returns the journal's entry about a session that has ended.
func ended(event string, s *lifecycle.Session) entry {
	user, _ := s.Get(userKey).(string)
	lag := max(time.Since(s.EndedAt).Milliseconds(), 0)
	return entry{Event: event, Session: s.ID, User: user, Detail: string(s.Reason), Lag: &lag}
}

// home shows the home page.
func (a *app) home(c *lifecycle.Context) { a.render(c, http.StatusOK, "") }

// signIn signs the visitor in. There is no password: this is a demonstration.
func (a *app) signIn(c *lifecycle.Context) {
	name := strings.TrimSpace(c.PostForm("name"))
	if name == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName {
		a.render(c, http.StatusBadRequest, "A name has 1 to 64 characters.")
		return
	}
	session := c.Values()
	if user := session.Get(userKey); user != nil && user != name {
		// The session and its notes belong to another user.
		a.render(c, http.StatusConflict, "Sign out first: this session is somebody else's.")
		return
	}
	// A new secret: somebody who knows the old cookie must not be signed in by it.
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

// openWorkspace opens the session's workspace, if it is not open yet, and registers a hook that
// closes it at the end of the session.
func (a *app) openWorkspace(c *lifecycle.Context, user string) error {
	s := c.Session()
	if s == nil {
		return lifecycle.ErrSessionEnded
	}
	opened, err := a.workspaces.Open(s.ID)
	if err != nil || !opened {
		return err
	}
	a.journal.Add(entry{Event: eventOpened, Session: s.ID, User: user})
	_, err = c.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		err := a.workspaces.Close(s.ID)
		a.journal.Add(ended(eventClosed, s))
		return err
	})
	if err != nil {
		// The hook was not registered, so close the workspace here.
		return errors.Join(err, a.workspaces.Close(s.ID))
	}
	return nil
}

// signOut ends the session.
func (a *app) signOut(c *lifecycle.Context) {
	// If the session has ended already, the visitor is signed out, too.
	if err := c.DestroySession(); err != nil && !errors.Is(err, lifecycle.ErrSessionEnded) {
		fail(c.Context, err)
		return
	}
	c.Redirect(http.StatusSeeOther, "/")
}

// note adds a note to the session's workspace.
func (a *app) note(c *lifecycle.Context) {
	user, ok := c.Values().Get(userKey).(string)
	if !ok {
		a.render(c, http.StatusUnauthorized, "Sign in to take notes. If you were, that session has ended.")
		return
	}
	note := strings.Join(strings.Fields(c.PostForm("note")), " ") // one line
	if note == "" || !utf8.ValidString(note) || utf8.RuneCountInString(note) > maxNote {
		a.render(c, http.StatusBadRequest, "A note has 1 to 200 characters.")
		return
	}
	// A session in a real Redis is still live after a restart of the application. Its workspace was
	// closed.
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

// fail responds to a request that failed with err. The middleware calls it too, if it cannot read
// or begin the session.
func fail(c *gin.Context, err error) {
	switch {
	case errors.Is(err, lifecycle.ErrSessionEnded), errors.Is(err, errWorkspaceClosed):
		message(c, http.StatusConflict, "Your session has ended meanwhile.")
	case errors.Is(err, lifecycle.ErrSessionWithheld):
		message(c, http.StatusForbidden, "This request came twice, or from another site. Reload the page and try again.")
	case errors.Is(err, lifecycle.ErrUnavailable):
		logFailure(c, err)
		message(c, http.StatusServiceUnavailable, "Redis does not answer. Try again in a moment.")
	default:
		logFailure(c, err)
		message(c, http.StatusInternalServerError, "Something went wrong.")
	}
}

// logFailure logs an error of the application or of Redis.
func logFailure(c *gin.Context, err error) {
	slog.Error("example: a request failed", "path", c.Request.URL.Path, "error", err)
}
