package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// homePage is the data of the home page's template.
type homePage struct {
	Notice  string // why the visitor's request was refused; empty: it was not
	User    string // empty: not signed in
	Session *lifecycle.Session
	Left    left
	Notepad *notepad // nil: not open
	Journal []entry

	IdleTimeout, AbsoluteTimeout string
	MaxName, MaxNote             int
}

// span formats a duration for the page.
func span(d time.Duration) string {
	if d >= time.Minute && d%time.Minute == 0 {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%g s", d.Seconds())
}

// left is how long a session will stay live, in milliseconds. It has durations and not times,
// because the browser's clock may be wrong.
type left struct {
	Idle     int64 `json:"idle_ms"`     // if no other request comes
	Absolute int64 `json:"absolute_ms"` // at most, whatever comes
}

// left returns how long s will stay live, counted from now. The times in s are from Redis's clock.
func (a *app) left(s *lifecycle.Session, now time.Time) left {
	return left{
		Idle:     max(s.ExpiresAt.Sub(now).Milliseconds(), 0),
		Absolute: max(s.CreatedAt.Add(a.absolute).Sub(now).Milliseconds(), 0),
	}
}

// render responds with the home page.
func (a *app) render(c *lifecycle.Context, status int, notice string) {
	s := c.Session()
	if s == nil {
		fail(c.Context, lifecycle.ErrSessionEnded)
		return
	}
	pad, err := a.workspaces.Read(s.ID)
	if err != nil {
		fail(c.Context, err)
		return
	}
	user, _ := c.Values().Get(userKey).(string)
	c.HTML(status, "home.html", homePage{
		Notice:          notice,
		User:            user,
		Session:         s,
		Left:            a.left(s, s.LastSeenAt), // LastSeenAt is the time of this request
		Notepad:         pad,
		Journal:         a.journal.Entries(),
		IdleTimeout:     span(a.idle),
		AbsoluteTimeout: span(a.absolute),
		MaxName:         maxName,
		MaxNote:         maxNote,
	})
}

// events responds with the journal, and with how long the session of ?session=ID will stay live:
// another tab may have prolonged it. events reads no cookie and prolongs no session. Everybody can
// see everybody's entries; a real application must not do that.
func (a *app) events(c *gin.Context) {
	var answer struct {
		Session *left   `json:"session"` // null: the session is not live
		Events  []entry `json:"events"`
	}
	s, err := lifecycle.Default().Get(c.Request.Context(), c.Query("session"))
	switch {
	case err == nil:
		l := a.left(s, time.Now())
		answer.Session = &l
	case !errors.Is(err, lifecycle.ErrSessionEnded):
		logFailure(c, err)
		c.AbortWithStatus(http.StatusServiceUnavailable)
		return
	}
	answer.Events = a.journal.Entries()
	c.JSON(http.StatusOK, answer)
}

// message responds with a page that only has this text.
func message(c *gin.Context, status int, text string) {
	c.HTML(status, "message.html", text)
}
