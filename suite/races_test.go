package suite_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// meddler calls functions between two round trips of a client: each function after one
// round trip.
type meddler struct {
	mu    sync.Mutex
	queue []func()
}

func meddle(rdb redis.UniversalClient) *meddler {
	m := new(meddler)
	rdb.AddHook(onRoundTrip{after: m.next})
	return m
}

// with calls these functions, one after each round trip of f. Those that are left after f
// are not called.
func (m *meddler) with(queue []func(), f func()) {
	m.set(queue)
	f()
	m.set(nil)
}

func (m *meddler) set(queue []func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = queue
}

func (m *meddler) next(roundTrip) {
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

// Other requests change the timeouts or rotate the secret, once or several times, between
// any two steps of a request. The request keeps its session, or it gets none and sets no
// cookie.
func TestChangesBetweenTwoSteps(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	r := &raced{
		t: t,
		a: newApp(t, d, p, lifecycle.WithAbsoluteTimeout(0)),
		b: newApp(t, d, p, lifecycle.WithAbsoluteTimeout(0)),
	}
	r.bare, r.meddler = r.a.bare(), meddle(r.a.rdb)
	r.b.ages()
	for _, path := range []string{"/", "/set?k=v", "/age?n=50"} {
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
			r.request(path, name, steps)
		}
	}
	r.a.quiet()
}

// raced has two instances. The first one serves a request, the second one the requests
// that come between its steps. The first one uses its store without the middleware, so
// that nothing else is sent with its client.
type raced struct {
	t          *testing.T
	a, b, bare *app
	meddler    *meddler
}

// request sends a request with the cookie of a new session. Each of steps is a list of
// pages that the visitor requests after a round trip of this request, or before it.
func (r *raced) request(path, name string, steps []string) {
	r.t.Helper()
	id, v := r.b.begin()
	old := &visitor{v.cookie}
	rotated := false
	act := func(pages string) {
		for page := range strings.FieldsSeq(pages) {
			if got := r.b.ok(v, page); got != id {
				r.t.Errorf("%s, %s: session %q, want %s", name, page, got, id)
			}
			rotated = rotated || page == "/rotate"
		}
	}
	var queue []func()
	for _, step := range steps {
		if pages, ok := strings.CutPrefix(step, "before "); ok {
			act(pages)
			continue
		}
		queue = append(queue, func() { act(step) })
	}
	var w *httptest.ResponseRecorder
	r.meddler.with(queue, func() { w = r.bare.visit(old, path) })
	got, cookies := w.Body.String(), w.Header().Values("Set-Cookie")
	switch {
	case got == id:
	case len(cookies) > 0:
		r.t.Errorf("%s during %s: %q, and cookies %v", name, path, got, cookies)
	case !rotated && name != "three changes": // which are too many for one request
		r.t.Errorf("%s during %s: %q, want %s", name, path, got, id)
	}
	if now := r.b.ok(v, "/"); now != id {
		r.t.Errorf("%s during %s: the visitor's session is %q afterwards, want %s", name, path, now, id)
	}
}

// Many requests of a visitor change the timeouts, rotate and save at the same time, all with
// the same cookie. No request gets another session, and none begins.
func TestChangesAtRandom(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a, b := newApp(t, d, p, lifecycle.WithAbsoluteTimeout(0)), newApp(t, d, p, lifecycle.WithAbsoluteTimeout(0))
	a.ages()
	b.ages()
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
			t.Fatalf("%d new sessions began", n)
		}
	}
	a.quiet()
	b.quiet()
}

// A browser has the cookies of two sessions. One of the sessions cannot be read, and the
// request gets the other one.
func TestUnreadableSessionBesideALiveOne(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	broken, bad := a.begin()
	id, good := a.begin()
	a.spoil(broken)
	for _, cookie := range []string{bad.cookie + "; " + good.cookie, good.cookie + "; " + bad.cookie} {
		if got := a.ok(&visitor{cookie}, "/"); got != id {
			t.Errorf("session %q, want %s", got, id)
		}
	}
	if w := a.visit(bad, "/"); w.Code != http.StatusInternalServerError {
		t.Errorf("with the cookie of the unreadable session only: %d", w.Code)
	}
}

// A browser has the cookies of two sessions. In a cluster, the server of one session does
// not answer, and the request gets the other session.
func TestSessionOfAServerThatIsAwayBesideALiveOne(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	a := newApp(t, onCluster(t, c), redistest.Prefix(), lifecycle.WithRedisTimeout(500*time.Millisecond))
	master := func(id string) *redistest.Server {
		return c.MasterOf(redistest.Within(t), int(a.admin.ClusterKeySlot(redistest.Within(t), a.liveKey(id)).Val()))
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
		t.Errorf("with the cookie of this server's session only: %d", got.Code)
	}
	stopped.Resume()
	redistest.Eventually(t, "the server answers again", func() bool { return a.visit(&visitor{v.cookie}, "/").Body.String() == away })
}
