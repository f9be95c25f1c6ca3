package suite_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
)

func nothing(context.Context, *lifecycle.Session) error { return nil }

// A request that was under way at a login comes with the secret from before it. It gets no
// session and sets no cookie, whatever its handler does, so that the browser keeps the new
// one; and it has no rights.
func TestRotatedSecretTakesNoCookie(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	acting(a)
	remember(a)
	login(a, "/login", true, sessions.Options{MaxAge: 60})
	for _, steps := range [][]string{
		{"/rotate"}, {"/login"}, {"/rotate", "/rotate", "/rotate", "/rotate"}, {"/remember", "/rotate"}, {"/rotate", "/remember"}, {"/rotate", "/set?a=b"},
	} {
		id, v := a.begin()
		old := v.cookie
		for _, step := range steps {
			if got := a.ok(v, step); got != id {
				t.Fatalf("%s: session %q", step, got)
			}
		}
		<-a.created
		for _, what := range actions {
			w := a.visit(&visitor{old}, "/do/"+what)
			if got := w.Header().Values("Set-Cookie"); len(got) != 0 {
				t.Errorf("%v, then %s with the old cookie: cookies %v", steps, what, got)
			}
			if what != "nothing" && w.Code != http.StatusConflict {
				t.Errorf("%v, then %s with the old cookie: %d %s", steps, what, w.Code, w.Body)
			}
		}
		if len(a.created) > 0 {
			t.Errorf("%v: a session began", steps)
		}
		if got := a.ok(v, "/"); got != id {
			t.Errorf("%v: session %q, want %q", steps, got, id)
		}
		a.quiet()
	}
}

// A request that has read the session before the login, and answers after it, does not
// send the old cookie again, served by whatever instance: because of the cookie's age, or
// because several had to be healed.
func TestLateAnswerSendsNoOldCookie(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
	a, other := newApp(t, d, p), newApp(t, d, p)
	entered, resume := make(chan struct{}), make(chan struct{})
	for _, x := range []*app{a, other} {
		x.store.Options(sessions.Options{MaxAge: 3600})
		x.get("/poll", func(c *lifecycle.Context) {
			entered <- struct{}{}
			<-resume
			c.String(http.StatusOK, idOf(c))
		})
		login(x, "/login", true, sessions.Options{MaxAge: 3600})
	}
	for _, x := range []*app{a, other} {
		x.get("/saving", func(c *lifecycle.Context) {
			if err := save(c, "k", "v"); err != nil {
				t.Error(err)
			}
			entered <- struct{}{}
			<-resume
			c.String(http.StatusOK, idOf(c))
		})
	}
	for name, crowd := range map[string]bool{"aged": false, "crowded": true} {
		for _, x := range []*app{a, other} {
			id, v := a.begin()
			_, w := a.begin()
			cookie := "session=" + forged(t, a, v, func(b []byte) { put32(b[atSent:], 1) })
			if crowd {
				cookie += "; " + w.cookie
			}
			answer := make(chan *httptest.ResponseRecorder)
			page := "/poll"
			if x == a {
				page = "/saving"
			}
			go func() { answer <- x.visit(&visitor{cookie}, page) }()
			<-entered
			if got := a.ok(v, "/login"); got != id {
				t.Errorf("%s: session %q", name, got)
			}
			resume <- struct{}{}
			if w := <-answer; len(w.Header().Values("Set-Cookie")) != 0 || w.Body.String() != id {
				t.Errorf("%s: session %q, cookies %v", name, w.Body, w.Header().Values("Set-Cookie"))
			}
		}
	}
}

// So it is with a cookie that a request has set itself, if it is answered long after.
func TestLateAnswerTakesItsCookieBack(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	entered, resume := make(chan struct{}), make(chan struct{})
	a.get("/rotating", func(c *lifecycle.Context) {
		since := time.Now()
		if err := c.RotateSession(); err != nil {
			t.Error(err)
		}
		entered <- struct{}{}
		<-resume
		eventually(t, "a while is over", func() bool { return time.Since(since) > 150*time.Millisecond })
		c.String(http.StatusOK, idOf(c))
	})
	for _, again := range []bool{true, false} {
		id, v := a.begin()
		slow := &visitor{v.cookie}
		answer := make(chan *httptest.ResponseRecorder)
		go func() { answer <- a.visit(slow, "/rotating") }()
		<-entered
		if again { // by its ID, as if another request had come with the new secret
			if err := a.m.Destroy(within(t), id, ""); err != nil {
				t.Error(err)
			}
		}
		resume <- struct{}{}
		w := <-answer
		if sets := len(w.Header().Values("Set-Cookie")) > 0; sets == again {
			t.Errorf("ended meanwhile: %v, cookies %v", again, w.Header().Values("Set-Cookie"))
		}
	}
}

// The time is an option; when it is over the old secret is one like any other.
func TestRotationGrace(t *testing.T) {
	t.Parallel()
	d := shared(t)
	short, off := newApp(t, d, prefix(), lifecycle.WithRotationGrace(time.Millisecond)), newApp(t, d, prefix(), lifecycle.WithRotationGrace(0))
	for _, a := range []*app{short, off} {
		id, v := a.begin()
		old := v.cookie
		a.ok(v, "/rotate")
		eventually(t, "the old secret is forgotten", func() bool {
			got := a.ok(&visitor{old}, "/")
			return got != "" && got != id
		})
		// A save drops what is forgotten.
		a.ok(v, "/set?user=alice")
		if got := a.ok(v, "/get?key=user"); got != "alice" {
			t.Errorf("user %q", got)
		}
	}
}
