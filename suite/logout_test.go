package suite_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A logout ends the session even if another request of the visitor rotates the secret
// meanwhile. Otherwise the visitor would see a logout, and the session would live on.
func TestLogoutDuringRotation(t *testing.T) {
	t.Parallel()
	for name, logout := range map[string]func(c *lifecycle.Context) error{
		"destroy": (*lifecycle.Context).DestroySession,
		"save with MaxAge -1": func(c *lifecycle.Context) error {
			return saveWith(c, sessions.Options{Path: "/", MaxAge: -1})
		},
		"destroy after a save that failed": func(c *lifecycle.Context) error {
			s := sessions.Default(c.Context)
			s.Clear()
			if err := s.Save(); !errors.Is(err, lifecycle.ErrSessionEnded) {
				return errors.Join(errors.New("the save before the logout did not fail"), err)
			}
			return c.DestroySession()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), redistest.Prefix())
			entered, resume := make(chan struct{}), make(chan struct{})
			a.get("/logout", func(c *lifecycle.Context) {
				close(entered) // the middleware has read the session
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
			if _, err := a.m.Get(redistest.Within(t), id); !errors.Is(err, lifecycle.ErrSessionEnded) {
				t.Fatalf("the session lives on: %v", err)
			}
			if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed || s.Get("user") != "ann" || s.Attempt != 1 {
				t.Errorf("ended: %+v", s)
			}
			redistest.Eventually(t, "the end is finished", func() bool { return len(a.keys("*")) == 0 })
			if got := a.ok(v, "/"); got == id {
				t.Error("the new cookie is still good")
			}
			a.quiet()
		})
	}
}
