package suite_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// What created hooks have set is there in all later requests, or the session is not.
func TestNoSessionWithoutWhatItsHooksHaveSet(t *testing.T) {
	t.Parallel()
	for _, bad := range []any{make(chan int), panicking{}} {
		a := newAppWithoutHooks(t, shared(t), redistest.Prefix(), lifecycle.WithCodec(lifecycle.JSON))
		calls := 0
		a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
			s.Set("csrf", "secret")
			if calls++; calls == 1 {
				s.Set("bad", bad)
			}
			return nil
		})
		v := new(visitor)
		if w := a.with(gin.Recovery(), a.m.Middleware()).visit(v, "/"); w.Code != http.StatusInternalServerError || v.cookie != "" {
			t.Errorf("%T: answered with %d, cookie %q", bad, w.Code, v.cookie)
		}
		if got := a.ok(v, "/get?key=csrf"); got != "secret" {
			t.Errorf("%T: a later request sees %s", bad, got)
		}
	}
}
