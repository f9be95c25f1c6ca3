package suite_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A login rotates the secret while another request of the visitor is on its way, with the
// old secret. This other request gets no session and changes nothing. Its response sets no
// cookie, whatever its handler does, so that the browser keeps the new cookie.
func TestRotatedSecretTakesNoCookie(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.acting()
	a.remember()
	a.login("/login", true, sessions.Options{MaxAge: 60})
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
			t.Errorf("%v: a new session began", steps)
		}
		if got := a.ok(v, "/"); got != id {
			t.Errorf("%v: session %q, want %q", steps, got, id)
		}
		a.quiet()
	}
}

// A request reads the session before the login and answers after it. The response does not
// send the old cookie again, on any instance, although there would be a reason to send a
// cookie: the old one is aged, or the browser has several.
func TestLateAnswerSendsNoOldCookie(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a, other := newApp(t, d, p), newApp(t, d, p)
	entered, resume := make(chan struct{}), make(chan struct{})
	for _, x := range []*app{a, other} {
		x.store.Options(sessions.Options{MaxAge: 3600})
		x.get("/poll", func(c *lifecycle.Context) {
			entered <- struct{}{}
			<-resume
			c.String(http.StatusOK, idOf(c))
		})
		x.login("/login", true, sessions.Options{MaxAge: 3600})
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
			cookie := "session=" + forged(t, v, func(b []byte) { put32(b[atSent:], 1) })
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

// A request sets a new cookie and answers much later. The session has ended meanwhile, so
// the response does not set the cookie.
func TestLateAnswerTakesItsCookieBack(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	entered, resume := make(chan struct{}), make(chan struct{})
	a.get("/rotating", func(c *lifecycle.Context) {
		since := time.Now()
		if err := c.RotateSession(); err != nil {
			t.Error(err)
		}
		entered <- struct{}{}
		<-resume
		redistest.Eventually(t, "150 ms have passed", func() bool { return time.Since(since) > 150*time.Millisecond })
		c.String(http.StatusOK, idOf(c))
	})
	for _, ended := range []bool{true, false} {
		id, v := a.begin()
		slow := &visitor{v.cookie}
		answer := make(chan *httptest.ResponseRecorder)
		go func() { answer <- a.visit(slow, "/rotating") }()
		<-entered
		if ended {
			a.end(id, "")
		}
		resume <- struct{}{}
		w := <-answer
		if sets := len(w.Header().Values("Set-Cookie")) > 0; sets == ended {
			t.Errorf("the session has ended meanwhile: %v, cookies %v", ended, w.Header().Values("Set-Cookie"))
		}
	}
}

// WithRotationGrace sets how long the old secret is known after a rotation. Afterwards the
// old secret is like any unknown secret: the request begins a session.
func TestRotationGrace(t *testing.T) {
	t.Parallel()
	d := shared(t)
	short, off := newApp(t, d, redistest.Prefix(), lifecycle.WithRotationGrace(time.Millisecond)), newApp(t, d, redistest.Prefix(), lifecycle.WithRotationGrace(0))
	for _, a := range []*app{short, off} {
		id, v := a.begin()
		old := v.cookie
		a.ok(v, "/rotate")
		redistest.Eventually(t, "the old secret is forgotten", func() bool {
			got := a.ok(&visitor{old}, "/")
			return got != "" && got != id
		})
		// A save removes the old secret from the record.
		a.ok(v, "/set?user=alice")
		if got := a.ok(v, "/get?key=user"); got != "alice" {
			t.Errorf("user %q", got)
		}
	}
}
