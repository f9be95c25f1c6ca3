package lifecycle_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/embedded"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The face: the package-level functions, gin-contrib's middleware in front, and
// a closure. The default manager is global, so this test is not parallel.
func TestFace(t *testing.T) {
	defer lifecycle.NewDefault()()
	store, err := lifecycle.NewStore(redistest.Client(t, redistest.Shared(t)), lifecycle.WithPrefix(prefix()))
	if err != nil {
		t.Fatal(err)
	}
	var j journal
	ended := make(chan *lifecycle.Session, 1)
	lifecycle.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		j.add("created:" + s.Request.URI)
		return nil
	})
	lifecycle.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		j.add("destroyed")
		ended <- s
		return nil
	})
	router := gin.New()
	router.Use(sessions.Sessions("session", store))
	router.Use(lifecycle.Middleware())
	router.GET("/", lifecycle.Handler(func(c *lifecycle.Context) {
		if err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
			j.add("closed")
			return nil
		}); err != nil {
			t.Error(err)
		}
		c.String(http.StatusOK, "hello")
	}))
	router.GET("/plain", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Set("user", "alice")
		if err := s.Save(); err != nil {
			t.Error(err)
		}
		c.String(http.StatusOK, lifecycle.From(c).Session().ID)
	})
	w := httptest.NewRecorder()
	router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?q=1", nil))
	cookies := w.Result().Cookies()
	if len(cookies) != 1 || w.Body.String() != "hello" {
		t.Fatalf("answer: %v %s", cookies, w.Body)
	}
	r := httptest.NewRequest(http.MethodGet, "/plain", nil)
	r.AddCookie(cookies[0])
	w = httptest.NewRecorder()
	router.ServeHTTP(w, r)
	id, _, _ := strings.Cut(cookies[0].Value, ".")
	if w.Body.String() != id {
		t.Errorf("the session is %s, the cookie's is %s", w.Body, id)
	}
	m := lifecycle.Default()
	if err := m.Destroy(within(t), id, "closing time"); err != nil {
		t.Fatal(err)
	}
	s := receive(t, ended)
	if s.ID != id || s.Reason != "closing time" || s.Get("user") != "alice" {
		t.Errorf("ended: %s %s %v", s.ID, s.Reason, s.Values())
	}
	if j.String() != "created:/?q=1 closed destroyed" {
		t.Errorf("order: %s", &j)
	}
	if err := lifecycle.Start(within(t), store); err != nil {
		t.Errorf("started already: %v", err)
	}
	for range 2 {
		if err := lifecycle.Shutdown(within(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestQueriesOfADefaultManagerWithoutAStore(t *testing.T) {
	defer lifecycle.NewDefault()()
	m := lifecycle.Default()
	if err := m.Start(within(t)); err == nil {
		t.Error("started")
	}
	if _, err := m.Get(within(t), "x"); err == nil {
		t.Error("got a session")
	}
	if _, err := m.Count(within(t)); err == nil {
		t.Error("counted sessions")
	}
	if err := lifecycle.Start(within(t), nil); err == nil {
		t.Error("started without a store")
	}
	if err := lifecycle.Shutdown(within(t)); err != nil {
		t.Error(err)
	}
}

// What a hook is told.
func TestSessionInHooks(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix(), lifecycle.WithRequestHeaders("accept-language"))
	v := new(visitor)
	a.visit(v, "http://shop.example/?next=cart", "User-Agent", "test", "Accept-Language", "en", "Authorization", "secret")
	created := a.nextCreated()
	want := lifecycle.Request{Method: "GET", URI: "/?next=cart", Host: "shop.example", ClientIP: "192.0.2.1", UserAgent: "test",
		Header: http.Header{"Accept-Language": {"en"}}}
	check := func(s *lifecycle.Session) {
		t.Helper()
		r := s.Request
		if r.Method != want.Method || r.URI != want.URI || r.Host != want.Host || r.ClientIP != want.ClientIP ||
			r.UserAgent != want.UserAgent || len(r.Header) != 1 || r.Header.Get("Accept-Language") != "en" {
			t.Errorf("request: %+v", r)
		}
	}
	check(created)
	if created.HTTPRequest() == nil || created.HTTPRequest().Header.Get("Authorization") != "secret" {
		t.Error("the live request is not reachable in the created hook")
	}
	if created.Reason != "" || created.Attempt != 0 || !created.EndedAt.IsZero() {
		t.Errorf("created with an end: %+v", created)
	}
	a.ok(v, "/set?user=alice")
	a.ok(v, "/destroy")
	s := a.nextDestroyed()
	check(s)
	if s.HTTPRequest() != nil {
		t.Error("a live request in a destroyed hook")
	}
	if s.ID != created.ID || s.Get("user") != "alice" || s.Get("nothing") != nil || len(s.Values()) != 1 || s.Err() != nil {
		t.Errorf("session: %s %v %v", s.ID, s.Values(), s.Err())
	}
	if !s.CreatedAt.Equal(created.CreatedAt) || s.LastSeenAt.Before(s.CreatedAt) || s.EndedAt.Before(s.LastSeenAt) {
		t.Errorf("times: created %v, seen %v, ended %v", s.CreatedAt, s.LastSeenAt, s.EndedAt)
	}
	if s.Attempt != 1 || s.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("end: %d %s", s.Attempt, s.Reason)
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	for reason, run := range map[lifecycle.Reason]func(t *testing.T) *app{
		lifecycle.ReasonIdleTimeout: func(t *testing.T) *app {
			a := newApp(t, redistest.Shared(t), prefix(), lifecycle.WithIdleTimeout(50*time.Millisecond))
			a.begin()
			return a
		},
		lifecycle.ReasonAbsoluteTimeout: func(t *testing.T) *app {
			a := newApp(t, redistest.Shared(t), prefix(), lifecycle.WithAbsoluteTimeout(300*time.Millisecond))
			id, v := a.begin()
			eventually(t, "it ends however often it is used", func() bool { return a.ok(v, "/") != id })
			return a
		},
		lifecycle.ReasonDestroyed: func(t *testing.T) *app {
			a := newApp(t, redistest.Shared(t), prefix())
			a.get("/logout", func(c *lifecycle.Context) {
				s := sessions.Default(c.Context)
				s.Clear()
				s.Options(sessions.Options{MaxAge: -1})
				if err := s.Save(); err != nil {
					t.Error(err)
				}
				if err := s.Save(); err != nil { // nothing written since
					t.Error(err)
				}
			})
			_, v := a.begin()
			if a.visit(v, "/logout"); v.cookie != "" {
				t.Errorf("the cookie is %s", v.cookie)
			}
			return a
		},
		lifecycle.ReasonRevoked: func(t *testing.T) *app {
			a := newApp(t, redistest.Shared(t), prefix())
			id, _ := a.begin()
			if err := a.m.Destroy(within(t), id, ""); err != nil {
				t.Error(err)
			}
			return a
		},
		"banned": func(t *testing.T) *app {
			a := newApp(t, redistest.Shared(t), prefix())
			id, _ := a.begin()
			if err := a.m.Destroy(within(t), id, "banned"); err != nil {
				t.Error(err)
			}
			return a
		},
		lifecycle.ReasonDeleted: func(t *testing.T) *app {
			a := newApp(t, redistest.Shared(t), prefix()).start()
			eventually(t, "notifications", func() bool { return a.m.Stats().Notifications == lifecycle.NotificationsOn })
			id, _ := a.begin()
			a.rdb.Del(within(t), a.key("live:"+id+":*"))
			return a
		},
		lifecycle.ReasonEvicted: func(t *testing.T) *app {
			a := newApp(t, redistest.Start(t).Addr, prefix()).start()
			eventually(t, "notifications", func() bool { return a.m.Stats().Notifications == lifecycle.NotificationsOn })
			a.begin()
			for _, set := range [][2]string{{"maxmemory-policy", "volatile-lru"}, {"maxmemory", "1mb"}} {
				if err := a.rdb.ConfigSet(within(t), set[0], set[1]).Err(); err != nil {
					t.Error(err)
				}
			}
			// Any write makes Redis look for keys to evict, and fails for want of others.
			eventually(t, "eviction", func() bool {
				a.rdb.Set(within(t), "x", "y", 0)
				return len(a.keys("live:*")) == 0
			})
			a.rdb.ConfigSet(within(t), "maxmemory", "0")
			return a
		},
		lifecycle.ReasonLost: func(t *testing.T) *app {
			a := newApp(t, redistest.Shared(t), prefix(), lifecycle.WithIdleTimeout(100*time.Millisecond))
			id, _ := a.begin()
			a.rdb.Del(within(t), a.key("session:"+id))
			return a
		},
	} {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			a := run(t)
			if s := a.nextDestroyed(); s.Reason != reason {
				t.Errorf("reason %q", s.Reason)
			}
		})
	}
}

// A session that is used up to its absolute deadline reaches just that, however
// the due-index came to know of it.
func TestAbsoluteTimeoutOfAUsedSession(t *testing.T) {
	t.Parallel()
	rdb, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	for name, client := range map[string]*redis.Client{"real": redistest.Client(t, redistest.Shared(t)), "in process": rdb.Client} {
		t.Run(name, func(t *testing.T) {
			a := newAppWithoutHooks(t, client, prefix(), lifecycle.WithIdleTimeout(300*time.Millisecond), lifecycle.WithAbsoluteTimeout(500*time.Millisecond))
			a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
				a.destroyed <- s
				return nil
			})
			const n = 20
			visitors := make(map[string]*visitor)
			for range n {
				id, v := a.begin()
				visitors[id] = v
			}
			for len(visitors) > 0 { // each is used until it is gone
				for id, v := range visitors {
					if a.ok(v, "/") != id {
						delete(visitors, id)
					}
				}
			}
			for range n {
				s := a.nextDestroyed()
				if s.Reason != lifecycle.ReasonAbsoluteTimeout || s.EndedAt.Sub(s.CreatedAt) != 500*time.Millisecond {
					t.Errorf("ended: %s after %v", s.Reason, s.EndedAt.Sub(s.CreatedAt))
				}
			}
		})
	}
}

// FLUSHALL: the sessions are gone, the closures of living instances run.
func TestClosuresOfLostSessions(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Start(t).Addr, prefix())
	ran := make(chan *lifecycle.Session, 2)
	a.get("/hold", func(c *lifecycle.Context) {
		a.answer(c, c.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
			ran <- s
			return nil
		}))
	})
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	a.ok(v, "/hold")
	if err := a.rdb.FlushAll(within(t)).Err(); err != nil {
		t.Fatal(err)
	}
	if s := receive(t, ran); s.ID != id || s.Reason != lifecycle.ReasonLost || s.Get("user") != "alice" {
		t.Errorf("ran with %s, %s, %v", s.ID, s.Reason, s.Values())
	}
	next, _ := a.begin()
	if err := a.m.Destroy(within(t), next, ""); err != nil {
		t.Fatal(err)
	}
	if s := a.nextDestroyed(); s.ID != next {
		t.Errorf("ended: %s", s.ID)
	}
	a.shutdown()
	if len(ran) > 0 {
		t.Error("ran twice")
	}
}

func TestOrderOfHooks(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, redistest.Client(t, redistest.Shared(t)), prefix())
	var j journal
	note := func(line string) lifecycle.Hook {
		return func(ctx context.Context, _ *lifecycle.Session) error {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("a hook's context has no deadline")
			}
			j.add(line)
			return nil
		}
	}
	a.m.OnSessionCreated(note("c1"))
	a.m.OnSessionCreated(note("c2"))
	a.m.OnSessionDestroyed(note("d1"))
	a.m.OnSessionDestroyed(note("d2"))
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		a.destroyed <- s
		return nil
	})
	a.get("/hold", func(c *lifecycle.Context) {
		j.add("handler")
		for _, h := range []string{"h1", "h2", "h3"} {
			if err := c.OnSessionDestroyed(note(h)); err != nil {
				t.Error(err)
			}
		}
	})
	v := new(visitor)
	a.visit(v, "/hold")
	a.ok(v, "/destroy")
	a.nextDestroyed()
	if want := "c1 c2 handler h3 h2 h1 d1 d2"; j.String() != want {
		t.Errorf("order: %s, want %s", &j, want)
	}
}

func TestRegistrationAfterServing(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix()).start()
	for name, register := range map[string]func(){
		"OnSessionCreated":   func() { a.m.OnSessionCreated(func(context.Context, *lifecycle.Session) error { return nil }) },
		"OnSessionDestroyed": func() { a.m.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { return nil }) },
	} {
		func() {
			defer func() {
				text, _ := recover().(string)
				if !strings.Contains(text, name) || !strings.Contains(text, "before router.Run") || !strings.Contains(text, "c.OnSessionDestroyed in a handler") {
					t.Errorf("%s: panic %q", name, text)
				}
			}()
			register()
		}()
	}
}

func TestNilHooksPanic(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix())
	mustPanic(t, "nil", func() { a.m.OnSessionCreated(nil) })
	mustPanic(t, "nil", func() { a.m.OnSessionDestroyed(nil) })
	a.get("/nil", func(c *lifecycle.Context) {
		mustPanic(t, "nil", func() { _ = c.OnSessionDestroyed(nil) })
	})
	a.visit(new(visitor), "/nil")
}

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if text, _ := recover().(string); !strings.Contains(text, want) {
			t.Errorf("panic %q, want one with %q", text, want)
		}
	}()
	f()
}

func TestCreatedHooksRequired(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix(), lifecycle.WithCreatedHooksRequired())
	a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		if strings.Contains(s.Request.URI, "bad") {
			return errors.New("no seat left")
		}
		return nil
	})
	ran := false
	a.m.OnSessionCreated(func(_ context.Context, s *lifecycle.Session) error {
		ran = ran || strings.Contains(s.Request.URI, "bad")
		return nil
	})
	v := new(visitor)
	w := a.visit(v, "/?bad")
	if w.Code != http.StatusInternalServerError || v.cookie != "" || w.Body.Len() > 0 {
		t.Errorf("refused: %d, cookie %q, %s", w.Code, v.cookie, w.Body)
	}
	if ran {
		t.Error("the next created hook ran")
	}
	if s := a.nextDestroyed(); s.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("ended: %s", s.Reason)
	}
	a.begin() // others are let in
}

func TestLazyCreation(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix(), lifecycle.WithLazyCreation())
	a.get("/hold", func(c *lifecycle.Context) {
		err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { return nil })
		for _, err := range []error{err, c.RotateSession(), c.DestroySession()} {
			if !errors.Is(err, lifecycle.ErrNoSession) {
				t.Errorf("without a session: %v", err)
			}
		}
	})
	v := new(visitor)
	if got := a.ok(v, "/"); got != "" || v.cookie != "" || len(a.created) > 0 {
		t.Errorf("a session began without a Save: %q %q", got, v.cookie)
	}
	a.visit(v, "/hold")
	id := a.ok(v, "/set?user=alice")
	if s := a.nextCreated(); s.ID != id || s.Request.ClientIP != "192.0.2.1" || s.Get("user") != "alice" {
		t.Errorf("created: %s, %+v, %v", s.ID, s.Request, s.Values())
	}
	a.ok(v, "/set?user=bob")
	if len(a.created) > 0 {
		t.Error("created again")
	}
	if got := a.ok(v, "/get?key=user"); got != "bob" {
		t.Errorf("user %q", got)
	}
}

// The calls of all hooks are counted once per session, and no more sessions
// begin than visitors came.
func TestStats(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix())
	if s := a.m.Stats(); s.Created != 0 || s.Notifications != lifecycle.NotificationsOff || s.Instances != 0 {
		t.Errorf("before serving: %+v", s)
	}
	for range 3 {
		id, v := a.begin()
		a.ok(v, "/")
		if err := a.m.Destroy(within(t), id, ""); err != nil {
			t.Fatal(err)
		}
		a.nextDestroyed()
	}
	eventually(t, "figures", func() bool {
		s := a.m.Stats()
		return s.Created == 3 && s.Ended[lifecycle.ReasonRevoked] == 3 && s.HooksRun == 6 && s.HooksFailed == 0 &&
			s.Instances == 1 && s.Notifications == lifecycle.NotificationsOn && s.Dead == 0 && s.Overdue == 0
	})
}

func TestQueries(t *testing.T) {
	t.Parallel()
	addr, p := redistest.Shared(t), prefix()
	a, b := newApp(t, addr, p), newApp(t, addr, p).start()
	var ids []string
	for range 20 {
		id, v := a.begin()
		a.ok(v, "/set?user="+id)
		ids = append(ids, id)
	}
	slices.Sort(ids)
	list := func() []string {
		var got []string
		for s, err := range b.m.All(within(t)) {
			if err != nil {
				t.Fatal(err)
			}
			if s.Get("user") != s.ID || s.Reason != "" || s.ExpiresAt.Before(s.LastSeenAt) {
				t.Errorf("session: %+v", s)
			}
			got = append(got, s.ID)
		}
		slices.Sort(got)
		return got
	}
	if got := list(); !slices.Equal(got, ids) {
		t.Errorf("all: %v", got)
	}
	for _, err := range b.m.All(within(t)) {
		if err != nil {
			t.Error(err)
		}
		break // an iteration may be left
	}
	if n, err := b.m.Count(within(t)); n != 20 || err != nil {
		t.Errorf("count: %d, %v", n, err)
	}
	s, err := b.m.Get(within(t), ids[0])
	if err != nil || s.ID != ids[0] || s.CreatedAt.IsZero() || s.Request.Method != http.MethodGet {
		t.Errorf("get: %+v, %v", s, err)
	}
	if err := b.m.Destroy(within(t), ids[0], ""); err != nil {
		t.Fatal(err)
	}
	b.nextDestroyed()
	eventually(t, "acked", func() bool { n, err := b.m.Count(within(t)); return err == nil && n == 19 })
	if got := list(); !slices.Equal(got, ids[1:]) {
		t.Errorf("all: %v", got)
	}
	for _, id := range []string{ids[0], "", "x", strings.Repeat("A", 22), "../../../../etc/passwd", ids[1] + "*"} {
		if _, err := b.m.Get(within(t), id); !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("get %q: %v", id, err)
		}
		if err := b.m.Destroy(within(t), id, ""); !errors.Is(err, lifecycle.ErrSessionEnded) {
			t.Errorf("destroy %q: %v", id, err)
		}
	}
	for _, r := range []lifecycle.Reason{"expired", lifecycle.Reason(strings.Repeat("x", 257))} {
		if err := b.m.Destroy(within(t), ids[1], r); err == nil {
			t.Errorf("destroyed with reason %q", r)
		}
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range b.m.All(cancelled) {
		if err == nil {
			t.Error("a session in spite of the context")
		}
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	t.Run("before Start", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, redistest.Shared(t), prefix())
		a.shutdown()
		a.shutdown()
		if err := a.m.Start(within(t)); !errors.Is(err, lifecycle.ErrShutdown) {
			t.Errorf("start: %v", err)
		}
		a.get("/hold", func(c *lifecycle.Context) {
			err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { return nil })
			if !errors.Is(err, lifecycle.ErrShutdown) {
				t.Errorf("register: %v", err)
			}
		})
		id, v := a.begin() // requests are served on
		if got := a.ok(v, "/"); got != id {
			t.Errorf("the session is %q", got)
		}
		a.ok(v, "/hold")
	})
	t.Run("waits for running hooks", func(t *testing.T) {
		t.Parallel()
		a := newAppWithoutHooks(t, redistest.Client(t, redistest.Shared(t)), prefix())
		entered, resume := make(chan struct{}), make(chan struct{})
		a.m.OnSessionDestroyed(func(ctx context.Context, _ *lifecycle.Session) error {
			close(entered)
			<-resume
			return ctx.Err()
		})
		id, _ := a.begin()
		if err := a.m.Destroy(within(t), id, ""); err != nil {
			t.Fatal(err)
		}
		<-entered
		done := make(chan error, 1)
		go func() { done <- a.m.Shutdown(within(t)) }()
		select {
		case err := <-done:
			t.Errorf("did not wait: %v", err)
		default:
		}
		close(resume)
		if err := receive(t, done); err != nil {
			t.Error(err)
		}
		if keys := a.keys("*"); len(keys) > 0 {
			t.Errorf("not acked: %v", keys)
		}
	})
	t.Run("gives the rest back", func(t *testing.T) {
		t.Parallel()
		addr, p := redistest.Shared(t), prefix()
		a := newAppWithoutHooks(t, redistest.Client(t, addr), p, lifecycle.WithConcurrency(1), lifecycle.WithLease(10*time.Minute))
		entered := make(chan struct{}, 1)
		a.m.OnSessionDestroyed(func(ctx context.Context, _ *lifecycle.Session) error {
			entered <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		})
		ids := make(map[string]bool)
		for range 5 {
			id, _ := a.begin()
			ids[id] = true
		}
		for id := range ids {
			if err := a.m.Destroy(within(t), id, ""); err != nil {
				t.Fatal(err)
			}
		}
		<-entered // one runs, four wait
		b := newApp(t, addr, p).start()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		a.cut = true
		if err := a.m.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("shutdown: %v", err)
		}
		attempts := 0
		for range ids { // long before the lease is over
			s := b.nextDestroyed()
			if !ids[s.ID] || s.Reason != lifecycle.ReasonRevoked {
				t.Errorf("ended: %s %s", s.ID, s.Reason)
			}
			attempts += s.Attempt
		}
		if attempts != 6 {
			t.Errorf("%d attempts on the other instance: one session had run before", attempts)
		}
		if err := a.m.Shutdown(within(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("the second call: %v", err)
		}
	})
}

// With Redis away closures run all the same, and Shutdown comes to an end.
func TestShutdownWithRedisAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := newApp(t, server.Addr, prefix(), lifecycle.WithRedisTimeout(50*time.Millisecond))
	ran := make(chan *lifecycle.Session, 1)
	a.get("/hold", func(c *lifecycle.Context) {
		a.answer(c, c.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
			ran <- s
			return nil
		}))
	})
	id, v := a.begin()
	a.ok(v, "/hold")
	server.Pause()
	defer server.Resume()
	a.shutdown()
	if s := receive(t, ran); s.ID != id || s.Reason != lifecycle.ReasonShutdown || s.Request.URI != "/" {
		t.Errorf("ran with %s, %s, %+v", s.ID, s.Reason, s.Request)
	}
}

// A visitor who goes away does not stop what the request has begun.
func TestCancelledRequest(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, redistest.Client(t, redistest.Shared(t)), prefix())
	ctx, cancel := context.WithCancel(context.Background())
	a.m.OnSessionCreated(func(ctx context.Context, s *lifecycle.Session) error {
		cancel()
		a.created <- s
		return ctx.Err()
	})
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		a.destroyed <- s
		return nil
	})
	a.get("/all", func(c *lifecycle.Context) {
		s := sessions.Default(c.Context)
		s.Set("user", "alice")
		for what, err := range map[string]error{"save": s.Save(), "rotate": c.RotateSession(), "destroy": c.DestroySession()} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
	a.router.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/all", nil).WithContext(ctx))
	created, ended := a.nextCreated(), a.nextDestroyed()
	if ended.ID != created.ID || ended.Get("user") != "alice" || ended.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("ended: %s, %v, %s", ended.ID, ended.Values(), ended.Reason)
	}
	if s := a.m.Stats(); s.HooksFailed != 0 {
		t.Error("the created hook's context ended with the request")
	}
}

// A retry runs only the hooks that have not succeeded.
func TestRetries(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, redistest.Client(t, redistest.Shared(t)), prefix(), lifecycle.WithRetry(5, time.Millisecond, time.Millisecond))
	var j journal
	a.m.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { j.add("first"); return nil })
	a.m.OnSessionDestroyed(func(_ context.Context, s *lifecycle.Session) error {
		j.add("second")
		if s.Attempt < 3 {
			return errors.New("not yet")
		}
		a.destroyed <- s
		return nil
	})
	id, v := a.begin()
	a.ok(v, "/set?user=alice")
	if err := a.m.Destroy(within(t), id, ""); err != nil {
		t.Fatal(err)
	}
	if s := a.nextDestroyed(); s.Attempt != 3 || s.Get("user") != "alice" || s.Reason != lifecycle.ReasonRevoked {
		t.Errorf("attempt %d, %v, %s", s.Attempt, s.Values(), s.Reason)
	}
	if j.String() != "first second second second" {
		t.Errorf("calls: %s", &j)
	}
	eventually(t, "acked", func() bool { return len(a.keys("*")) == 0 })
	if s := a.m.Stats(); s.HooksRetried != 2 || s.HooksFailed != 2 || s.Buried != 0 {
		t.Errorf("figures: %+v", s)
	}
}

// Hooks use the API, of their own session and of others.
func TestHooksUseTheAPI(t *testing.T) {
	t.Parallel()
	a := newAppWithoutHooks(t, redistest.Client(t, redistest.Shared(t)), prefix(), lifecycle.WithConcurrency(1))
	other, _ := a.begin()
	a.m = func() *lifecycle.Manager { return a.m }()
	a.get("/end", func(c *lifecycle.Context) {
		if err := c.OnSessionDestroyed(func(ctx context.Context, s *lifecycle.Session) error {
			if err := a.m.Destroy(ctx, s.ID, ""); !errors.Is(err, lifecycle.ErrSessionEnded) {
				t.Errorf("destroy itself: %v", err)
			}
			for s, err := range a.m.All(ctx) {
				if err != nil || s.ID != other {
					t.Errorf("all: %v %v", s, err)
				}
			}
			a.begin()
			if err := a.m.Destroy(ctx, other, ""); err != nil {
				t.Errorf("destroy another: %v", err)
			}
			a.destroyed <- s
			return nil
		}); err != nil {
			t.Error(err)
		}
		if err := c.DestroySession(); err != nil {
			t.Error(err)
		}
	})
	a.visit(new(visitor), "/end")
	a.nextDestroyed()
	eventually(t, "both ends", func() bool { return a.m.Stats().Ended[lifecycle.ReasonRevoked] == 1 })
}

func TestMiddlewareWithoutASession(t *testing.T) {
	t.Parallel()
	serve := func(use ...gin.HandlerFunc) func() {
		return func() {
			r := gin.New()
			r.Use(use...)
			r.GET("/", func(*gin.Context) {})
			r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		}
	}
	a := newApp(t, redistest.Shared(t), prefix())
	mustPanic(t, "SessionsMany", serve(sessions.SessionsMany([]string{"a", "b"}, a.store), a.m.Middleware()))
	mustPanic(t, "lifecycle.NewStore", serve(sessions.Sessions("s", foreignStore{}), a.m.Middleware()))
	mustPanic(t, "lifecycle.Middleware()", serve(lifecycle.Handler(func(*lifecycle.Context) {})))
	other := newApp(t, redistest.Shared(t), prefix())
	var failure error
	m, err := lifecycle.New(a.store, lifecycle.WithErrorHandler(func(_ *gin.Context, err error) { failure = err }))
	if err != nil {
		t.Fatal(err)
	}
	serve(sessions.Sessions("s", other.store), m.Middleware())()
	if failure == nil || !strings.Contains(failure.Error(), "another store") {
		t.Errorf("with another manager's store: %v", failure)
	}
}

// Two managers of one process and one store are two instances.
func TestManagerInstallsTheSessionItself(t *testing.T) {
	t.Parallel()
	a := newApp(t, redistest.Shared(t), prefix(), lifecycle.WithSessionName("sid"))
	id, v := a.begin()
	if !strings.HasPrefix(v.cookie, "sid="+id+".") {
		t.Errorf("cookie: %s", v.cookie)
	}
}
