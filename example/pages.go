package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// homePage is what the template of the home page is given.
type homePage struct {
	Notice  string // of what the visitor has just tried
	User    string // empty: not signed in
	Session *lifecycle.Session
	Left    left
	Notepad *notepad // nil: not open
	Journal []entry

	IdleTimeout, AbsoluteTimeout string
	MaxName, MaxNote             int
}

// span returns d as people write it.
func span(d time.Duration) string {
	if d >= time.Minute && d%time.Minute == 0 {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%g s", d.Seconds())
}

// left is how long a session still has, in milliseconds. These are spans and
// not times, since the browser's clock may be wrong.
type left struct {
	Idle     int64 `json:"idle_ms"`     // if no further request comes
	Absolute int64 `json:"absolute_ms"` // whatever comes
}

// left returns what s has left at now. The times in s are by Redis's clock.
func (a *app) left(s *lifecycle.Session, now time.Time) left {
	return left{
		Idle:     max(s.ExpiresAt.Sub(now).Milliseconds(), 0),
		Absolute: max(s.CreatedAt.Add(a.absolute).Sub(now).Milliseconds(), 0),
	}
}

// render answers with the home page.
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
	user, _ := sessions.Default(c.Context).Get(userKey).(string)
	c.HTML(status, "home.html", homePage{
		Notice:          notice,
		User:            user,
		Session:         s,
		Left:            a.left(s, s.LastSeenAt), // this request is the last seen
		Notepad:         pad,
		Journal:         a.journal.Entries(),
		IdleTimeout:     span(a.idle),
		AbsoluteTimeout: span(a.absolute),
		MaxName:         maxName,
		MaxNote:         maxNote,
	})
}

// events answers with the journal, and with what the session of ?session=ID
// has left: another tab may have prolonged it. It takes no cookie and prolongs
// nothing. That everybody sees everybody's entries is for demonstration only.
func (a *app) events(c *gin.Context) {
	var answer struct {
		Session *left   `json:"session"` // null: not live
		Events  []entry `json:"events"`
	}
	s, err := lifecycle.Default().Get(c.Request.Context(), c.Query("session"))
	switch {
	case err == nil:
		l := a.left(s, time.Now())
		answer.Session = &l
	case !errors.Is(err, lifecycle.ErrSessionEnded):
		c.AbortWithStatus(http.StatusServiceUnavailable)
		return
	}
	answer.Events = a.journal.Entries()
	c.JSON(http.StatusOK, answer)
}

// message answers with a page that says one thing.
func message(c *gin.Context, status int, text string) {
	c.HTML(status, "message.html", text)
}
