package suite_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// meddler does something between two round trips of a client: what is queued comes
// behind one round trip each.
type meddler struct {
	mu    sync.Mutex
	queue []func()
}

func (m *meddler) then(do ...func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = do
}

func (m *meddler) done() {
	m.mu.Lock()
	var do func()
	if len(m.queue) > 0 {
		do, m.queue = m.queue[0], m.queue[1:]
	}
	m.mu.Unlock()
	if do != nil {
		do()
	}
}

func (m *meddler) DialHook(next redis.DialHook) redis.DialHook { return next }

func (m *meddler) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		m.done()
		return err
	}
}

func (m *meddler) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		m.done()
		return err
	}
}

// ages makes "/age" give the visitor's session an age of n seconds.
func ages(a *app) {
	a.get("/age", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		var n int
		_, _ = fmt.Sscan(c.Query("n"), &n)
		s.Options(sessions.Options{MaxAge: n})
		a.answer(c, s.Save())
	})
}

// Other requests change the timeouts, once more, back again, or rotate the secret, between
// any two steps of a request. It keeps its session, or gets none and leaves the cookie alone.
func TestChangesBetweenTwoSteps(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
	// A bare store has the client for itself: nothing runs in the background.
	bare, other := newApp(t, d, p, lifecycle.WithAbsoluteTimeout(0)), newApp(t, d, p, lifecycle.WithAbsoluteTimeout(0))
	meddle := new(meddler)
	bare.rdb.AddHook(meddle)
	ages(other)
	for _, path := range []string{"/read", "/set", "/age"} {
		for name, steps := range map[string][]string{
			"one change":             {"/age?n=100"},
			"two changes":            {"/age?n=100", "/age?n=200"},
			"and back":               {"/age?n=100", "/age?n=0"},
			"a rotation":             {"/rotate"},
			"a change, a rotation":   {"/age?n=100", "/rotate"},
			"a rotation, a change":   {"/rotate", "/age?n=100"},
			"changes, with a pause":  {"/age?n=100", "", "/age?n=0"},
			"back within one step":   {"/age?n=100 /age?n=0"},
			"a change before":        {"before /age?n=100", "/age?n=200"},
			"a change and rotation":  {"before /age?n=100", "/rotate"},
			"a change, and back":     {"before /age?n=100", "/age?n=0"},
			"both before":            {"before /age?n=100 /rotate"},
			"a change back before":   {"before /age?n=100 /age?n=0"},
			"three changes":          {"before /age?n=100", "/age?n=200", "/age?n=300"},
			"changes and a rotation": {"before /age?n=100", "/age?n=200", "/rotate"},
		} {
			id, v := other.begin()
			old := &visitor{v.cookie}
			rotated := false
			act := func(pages string) func() {
				return func() {
					for page := range strings.FieldsSeq(pages) {
						if got := other.ok(v, page); got != id {
							t.Errorf("%s, %s: session %q", name, page, got)
						}
						rotated = rotated || page == "/rotate"
					}
				}
			}
			var queue []func()
			for _, step := range steps {
				if pages, ok := strings.CutPrefix(step, "before "); ok {
					act(pages)()
					continue
				}
				queue = append(queue, act(step))
			}
			meddle.then(queue...)
			w := bareVisit(bare, old, path)
			meddle.then()
			got, cookies := w.Body.String(), w.Header().Values("Set-Cookie")
			switch {
			case got == id:
			case len(cookies) > 0:
				t.Errorf("%s during %s: %q, and cookies %v", name, path, got, cookies)
			case !rotated && name != "three changes": // too many for one request
				t.Errorf("%s during %s: %q, want %s", name, path, got, id)
			}
			if now := other.ok(v, "/"); now != id {
				t.Errorf("%s during %s: the visitor's session is %q afterwards, was %s", name, path, now, id)
			}
		}
	}
	bare.quiet()
}

// Two changes, rotations and saves at a time, from many requests with the cookie that they
// had at their beginning: nobody loses the session that he has, and no other begins.
func TestChangesAtRandom(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
	a, b := newApp(t, d, p, lifecycle.WithAbsoluteTimeout(0)), newApp(t, d, p, lifecycle.WithAbsoluteTimeout(0))
	ages(a)
	ages(b)
	for range 20 {
		id, v := a.begin()
		<-a.created
		var wg sync.WaitGroup
		for i, page := range []string{"/age?n=100", "/", "/age?n=200", "/set?a=1", "/", "/rotate", "/set?b=2", "/age?n=0", "/"} {
			wg.Go(func() {
				x := a
				if i%2 == 0 {
					x = b
				}
				mine := &visitor{v.cookie}
				w := x.visit(mine, page)
				if got := w.Body.String(); got != id && len(w.Header().Values("Set-Cookie")) > 0 {
					t.Errorf("%s: %d %q, cookies %v", page, w.Code, got, w.Header().Values("Set-Cookie"))
				}
			})
		}
		wg.Wait()
		if n := len(a.created) + len(b.created); n != 0 {
			t.Fatalf("%d other sessions began", n)
		}
	}
	a.quiet()
	b.quiet()
}

// Of several tokens one that cannot be read holds up no other.
func TestUnreadableTokenBesideALiveOne(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	broken, bad := a.begin()
	id, good := a.begin()
	a.admin.SetRange(within(t), a.key("session:"+broken), 16, "\xff")
	for _, cookie := range []string{bad.cookie + "; " + good.cookie, good.cookie + "; " + bad.cookie} {
		if got := a.ok(&visitor{cookie}, "/"); got != id {
			t.Errorf("session %q, want %s", got, id)
		}
	}
	if w := a.visit(bad, "/"); w.Code != http.StatusInternalServerError {
		t.Errorf("by itself: %d", w.Code)
	}
}

// Nor does one whose server does not answer, in a cluster.
func TestTokenOfAServerThatIsAwayBesideALiveOne(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	a := newApp(t, onCluster(t, c), prefix(), lifecycle.WithRedisTimeout(500*time.Millisecond))
	master := func(id string) *redistest.Server {
		return c.MasterOf(within(t), int(a.admin.ClusterKeySlot(within(t), a.liveKey(id)).Val()))
	}
	away, v := a.begin()
	stopped := master(away)
	id, w := a.begin()
	for master(id).Addr == stopped.Addr {
		id, w = a.begin()
	}
	stopped.Pause()
	for _, cookie := range []string{v.cookie + "; " + w.cookie, w.cookie + "; " + v.cookie} {
		if got := a.visit(&visitor{cookie}, "/"); got.Code != http.StatusOK || got.Body.String() != id {
			t.Errorf("%d, session %q, want %s", got.Code, got.Body, id)
		}
	}
	if got := a.visit(&visitor{v.cookie}, "/"); got.Code != http.StatusServiceUnavailable {
		t.Errorf("by itself: %d", got.Code)
	}
	stopped.Resume()
	eventually(t, "the server answers again", func() bool { return a.visit(&visitor{v.cookie}, "/").Body.String() == away })
}

// bareVisit visits a page of the app's store without a middleware.
func bareVisit(a *app, v *visitor, path string) *httptest.ResponseRecorder {
	r := gin.New()
	r.Use(sessions.Sessions("session", a.store))
	answer := func(c *gin.Context, err error) {
		if err != nil {
			c.String(http.StatusConflict, err.Error())
			return
		}
		c.String(http.StatusOK, sessions.Default(c).ID())
	}
	r.GET("/read", func(c *gin.Context) { answer(c, nil) })
	r.GET("/set", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Set("k", "v")
		answer(c, s.Save())
	})
	r.GET("/age", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Options(sessions.Options{MaxAge: 50})
		answer(c, s.Save())
	})
	return (&app{t: a.t, router: r}).visit(v, path)
}
