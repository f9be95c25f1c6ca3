package suite_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// What created hooks have set is there in all later requests, or the session is not.
func TestNoSessionWithoutWhatItsHooksHaveSet(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, shared(t), redistest.Prefix())
	calls := 0
	a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		s.Set("csrf", "secret")
		if calls++; calls == 1 {
			s.Set("bad", make(chan int))
		}
		return nil
	})
	v := new(visitor)
	if w := a.visit(v, "/"); w.Code != http.StatusInternalServerError {
		t.Fatalf("answered with %d", w.Code)
	}
	if got := a.ok(v, "/get?key=csrf"); got != "secret" {
		t.Errorf("a later request sees %s", got)
	}
}
