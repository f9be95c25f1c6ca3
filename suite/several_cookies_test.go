package suite_test

import (
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A browser sends two cookies, and one of them names a live session. The visitor is not told that
// his session has ended, in whichever order the cookies come.
func TestPreviousBesideALiveSession(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix()).why().start()
	id, gone := a.begin()
	a.end(id, "")
	a.nextDestroyed()
	a.finished()
	_, v := a.begin()
	for _, cookies := range []string{gone.cookie + "; " + v.cookie, v.cookie + "; " + gone.cookie} {
		if got := a.ask(cookies); got != "nothing" {
			t.Errorf("Previous tells %s", got)
		}
	}
}

// A browser sends a cookie from before a rotation, and one that names a live session. The live
// session can be renewed.
func TestRenewBesideARotatedCookie(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithRotationGrace(time.Minute))
	a.get("/renew", func(c *lifecycle.Context) { a.answer(c, c.RenewSession()) })
	id, v := a.begin()
	old := v.cookie
	if got := a.ok(v, "/rotate"); got != id {
		t.Fatalf("rotated session %q", got)
	}
	v.cookie = old + "; " + v.cookie
	if got := a.ok(v, "/renew"); got == "" || got == id {
		t.Errorf("the session is %q, want another than %s", got, id)
	}
}
