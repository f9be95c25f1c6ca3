package suite_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
)

// A logout that races a rotation ends the session: whoever had the secret when
// the request began is the visitor, and must not be told that he is out while the
// session lives on.
func TestLogoutDuringRotation(t *testing.T) {
	t.Parallel()
	for name, logout := range map[string]func(c *lifecycle.Context) error{
		"destroy": (*lifecycle.Context).DestroySession,
		"save with MaxAge -1": func(c *lifecycle.Context) error {
			s := sessions.Default(c.Context)
			s.Options(sessions.Options{Path: "/", MaxAge: -1})
			return s.Save()
		},
		"destroy after a save that failed": func(c *lifecycle.Context) error {
			s := sessions.Default(c.Context)
			s.Clear()
			if err := s.Save(); !errors.Is(err, lifecycle.ErrSessionEnded) {
				return errors.Join(errors.New("saved"), err)
			}
			return c.DestroySession()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), prefix())
			entered, resume := make(chan struct{}), make(chan struct{})
			a.get("/logout", func(c *lifecycle.Context) {
				close(entered) // with the session read
				<-resume
				a.answer(c, logout(c))
			})
			id, v := a.begin()
			a.ok(v, "/set?user=ann")
			slow := &visitor{v.cookie}
			var wg sync.WaitGroup
			wg.Go(func() {
				if w := a.visit(slow, "/logout"); w.Code != http.StatusOK || slow.cookie != "" {
					t.Errorf("logout: %d %s, cookie %q", w.Code, w.Body, slow.cookie)
				}
			})
			<-entered
			a.ok(v, "/rotate")
			close(resume)
			wg.Wait()
			if _, err := a.m.Get(within(t), id); !errors.Is(err, lifecycle.ErrSessionEnded) {
				t.Fatalf("the session lives on: %v", err)
			}
			if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed || s.Get("user") != "ann" || s.Attempt != 1 {
				t.Errorf("ended: %+v", s)
			}
			eventually(t, "the end is acked", func() bool { return len(a.keys("*")) == 0 })
			if got := a.ok(v, "/"); got == id {
				t.Error("the new cookie is still good")
			}
			a.quiet()
		})
	}
}
