package suite_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
)

// Where a token's secret half, decoded, has what: see package token.
const (
	atIdle     = 32
	atDeadline = 38
	atMark     = 44
	atSent     = 48
)

// forged returns the value of a visitor's cookie after change has had its decoded secret
// half.
func forged(t testing.TB, _ *app, v *visitor, change func(half []byte)) string {
	t.Helper()
	value := strings.TrimPrefix(v.cookie, "session=")
	id, half, _ := strings.Cut(value, ".")
	b, err := base64.RawURLEncoding.DecodeString(half)
	if err != nil {
		t.Fatal(err)
	}
	change(b)
	return id + "." + base64.RawURLEncoding.EncodeToString(b)
}

func put48(b []byte, v int64) {
	var x [8]byte
	binary.BigEndian.PutUint64(x[:], uint64(v))
	copy(b, x[2:])
}

func put32(b []byte, v int64) { binary.BigEndian.PutUint32(b, uint32(v)) }

// longest is a forged idle timeout: ten years.
const longest = int64(10 * 365 * 24 * time.Hour / time.Millisecond)

// forgeries are what a client may change in its own token. Its secret is good in all of
// them.
func forgeries(t testing.TB, a *app, v *visitor) map[string]string {
	now := time.Now().UnixMilli()
	forge := func(idle, deadline int64) string {
		return "session=" + forged(t, a, v, func(b []byte) {
			put48(b[atIdle:], idle)
			put48(b[atDeadline:], deadline)
		})
	}
	return map[string]string{
		"sent in the future":         "session=" + forged(t, a, v, func(b []byte) { put32(b[atSent:], now/1000+1e6) }),
		"sent long ago":              "session=" + forged(t, a, v, func(b []byte) { put32(b[atSent:], 1) }),
		"ten years":                  forge(longest, 0),
		"ten years, and a deadline":  forge(longest, now+longest),
		"over at once":               forge(1, 0),
		"a deadline that is over":    forge(longest, now-1000),
		"a deadline that is now":     forge(longest, now),
		"a deadline in 1970":         forge(longest, 1),
		"the idle timeout, no end":   forge(30*60*1000, 0),
		"one millisecond, in a year": forge(1, now+365*24*3600*1000),
	}
}

// A visitor with the right secret and other numbers is let in, with the record's
// timeouts, and gets the good cookie again. Between the commands of his request, too, no
// live key ever has a time to live that this fleet has not given it.
func TestForgedTimeouts(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	id, v := a.begin()
	a.ok(v, "/") // confirmed
	live := a.liveKey(id)
	for name, cookie := range forgeries(t, a, v) {
		before := a.admin.PTTL(within(t), live).Val()
		f := &visitor{cookie}
		if got := a.ok(f, "/"); got != id {
			t.Errorf("%s: session %q", name, got)
		}
		if token := func(cookie string) string { return cookie[:len(cookie)-6] }; token(f.cookie) != token(v.cookie) { // but for when it was sent
			t.Errorf("%s: the cookie was not put right: %s, want %s", name, f.cookie, v.cookie)
		}
		if d := a.admin.PTTL(within(t), live).Val(); d > 30*time.Minute || d < before-time.Minute {
			t.Errorf("%s: time to live %v", name, d)
		}
		if keys := a.keys("live:" + id + ":*"); !slices.Equal(keys, []string{live}) {
			t.Errorf("%s: live keys %v", name, keys)
		}
	}
	a.quiet()
}

// What a forged token makes Redis do cannot prolong anything even if nothing comes after:
// the key that it names does not exist.
func TestForgedTimeoutsNameNoKey(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
	a := newApp(t, d, p)
	sent := watch(a.rdb)
	_, v := a.begin()
	live := a.key("live:*")
	all := forgeries(t, a, v)
	for _, cookie := range all {
		a.ok(&visitor{cookie}, "/")
	}
	seen := sent.of("getex")
	if len(seen) < len(all) {
		t.Fatal("the store's commands were not seen")
	}
	for _, cmd := range seen {
		words := strings.Fields(cmd)
		if words[1] == live && !strings.HasPrefix(words[3], "1800000") {
			t.Errorf("the live key was given another time to live: %s", cmd)
		}
	}
}

// With Redis full, which refuses to put anything right afterwards, forging clients keep no
// live key alive, and their visitors are refused like all that would write.
func TestForgedTimeoutsWithMemoryFull(t *testing.T) {
	t.Parallel()
	server := startServer(t, "--maxmemory-policy", "noeviction")
	d := onServer(t, server)
	a := newApp(t, d, prefix())
	const clients = 20
	visitors := make([]*visitor, clients)
	for i := range visitors {
		_, visitors[i] = a.begin()
	}
	if err := a.admin.ConfigSet(within(t), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	for _, v := range visitors {
		for _, cookie := range forgeries(t, a, v) {
			a.visit(&visitor{cookie}, "/")
		}
		if w := a.visit(v, "/"); w.Code != http.StatusOK {
			t.Errorf("an honest read: %d", w.Code)
		}
	}
	for _, k := range a.keys("live:*") {
		if d := a.admin.PTTL(within(t), k).Val(); d > 30*time.Minute || d < 0 {
			t.Errorf("%s: time to live %v", k, d)
		}
	}
	if err := a.admin.ConfigSet(within(t), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if w := a.visit(new(visitor), "/"); w.Code != http.StatusOK {
		t.Errorf("a new visitor, when there is room again: %d", w.Code)
	}
}

// One forged request between honest ones, at any moment, loses no end and delays none,
// without notifications as well: the due entry stays in front of the live key's deadline.
// Nor does a client choose the reason.
func TestForgedTimeoutsLoseNoEnd(t *testing.T) {
	t.Parallel()
	silent := lifecycle.WithNotifications(false)
	idle, absolute := lifecycle.WithIdleTimeout(400*time.Millisecond), lifecycle.WithAbsoluteTimeout(700*time.Millisecond)
	for name, opts := range map[string][]lifecycle.Option{
		"idle":                   {idle},
		"idle, without hints":    {idle, silent},
		"absolute":               {lifecycle.WithIdleTimeout(time.Minute), absolute},
		"absolute without hints": {lifecycle.WithIdleTimeout(time.Minute), absolute, silent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), prefix(), opts...).start()
			want := lifecycle.ReasonIdleTimeout
			if strings.HasPrefix(name, "absolute") {
				want = lifecycle.ReasonAbsoluteTimeout
			}
			var wg sync.WaitGroup
			ids := make(chan string, 1000)
			for range 8 {
				wg.Go(func() {
					for range 4 {
						id, v := a.begin()
						ids <- id
						for _, cookie := range forgeries(t, a, v) {
							a.visit(&visitor{v.cookie}, "/")
							a.visit(&visitor{cookie}, "/") // begins another one if the session has ended
						}
					}
				})
			}
			wg.Wait()
			close(ids)
			missing := make(map[string]bool)
			for id := range ids {
				missing[id] = true
			}
			for len(missing) > 0 {
				s := a.nextDestroyed()
				delete(missing, s.ID)
				if s.Reason != want {
					t.Errorf("session %s ended: %s, want %s", s.ID, s.Reason, want)
				}
			}
		})
	}
}

// A visitor whose response was lost comes with the cookie from before a change of
// timeouts, and is let in. So is a request that was under way meanwhile, and it may save,
// rotate, register hooks and log out.
func TestCookieFromBeforeAChangeOfTimeouts(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix(), lifecycle.WithAbsoluteTimeout(0))
	remember(a)
	a.hold(func(context.Context, *lifecycle.Session) error { return nil })
	entered, resume := make(chan struct{}), make(chan struct{})
	a.get("/slow/:then", func(c *lifecycle.Context) {
		entered <- struct{}{}
		<-resume
		switch c.Param("then") {
		case "set":
			a.answer(c, save(c, "slow", "yes"))
		case "rotate":
			a.answer(c, c.RotateSession())
		case "hold":
			a.answer(c, c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { return nil }))
		case "destroy":
			a.answer(c, c.DestroySession())
		}
	})
	for _, then := range []string{"set", "hold", "rotate", "destroy"} {
		id, v := a.begin()
		old := v.cookie
		slow := &visitor{old}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if w := a.visit(slow, "/slow/"+then); strings.Contains(w.Body.String(), "lifecycle:") {
				t.Errorf("%s in a request that was under way: %s", then, w.Body)
			}
		}()
		<-entered
		a.ok(&visitor{old}, "/remember") // the response is lost
		lost := &visitor{old}
		if got := a.ok(lost, "/"); got != id || lost.cookie == old {
			t.Errorf("the cookie from before: session %q, cookie %s", got, lost.cookie)
		}
		resume <- struct{}{}
		<-done
		if then == "destroy" {
			if s := a.nextDestroyed(); s.ID != id {
				t.Errorf("ended: %s", s.ID)
			}
			continue
		}
		last := lost
		if then == "rotate" {
			last = slow
		}
		if got := a.ok(last, "/"); got != id {
			t.Errorf("after %s: session %q", then, got)
		}
		// What the other request has asked for stands: this one asked for no other age.
		if d := a.admin.PTTL(within(t), a.liveKey(id)).Val(); d <= 30*time.Minute {
			t.Errorf("after %s: time to live %v", then, d)
		}
	}
}

// A token is good for the cookie name and the store that it was issued for only, whoever
// relabels it.
func TestTokenUnderAnotherName(t *testing.T) {
	t.Parallel()
	d, p := shared(t), prefix()
	shop := newApp(t, d, p, lifecycle.WithSessionName("shop"))
	admin := newApp(t, d, p, lifecycle.WithSessionName("admin"))
	id, v := shop.begin()
	value := strings.TrimPrefix(v.cookie, "shop=")
	own := new(visitor)
	admin.ok(own, "/")
	// The mark is no secret: the attacker takes it from a cookie of his own.
	name, ownValue, _ := strings.Cut(own.cookie, "=")
	if name != "admin" {
		t.Fatalf("cookie %s", own.cookie)
	}
	mark := func(half []byte) {
		_, other, _ := strings.Cut(ownValue, ".")
		b, err := base64.RawURLEncoding.DecodeString(other)
		if err != nil {
			t.Fatal(err)
		}
		copy(half[atMark:], b[atMark:])
	}
	relabelled := forged(t, shop, &visitor{"session=" + value}, mark)
	if relabelled == value {
		t.Error("two names have one mark")
	}
	for _, cookie := range []string{value, relabelled} {
		if got := admin.ok(&visitor{"admin=" + cookie}, "/"); got == id {
			t.Errorf("the shop's session is let in as admin")
		}
	}
	if got := shop.ok(v, "/"); got != id {
		t.Errorf("session %q", got)
	}
}

// A read takes one round trip and no script, with four tokens too; a forged token takes no
// more than an unknown one, which begins a session.
func TestCostOfTokens(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), prefix())
	// A bare store, so that nothing else is sent.
	r := gin.New()
	r.Use(sessions.Sessions("session", a.store))
	r.GET("/read", func(c *gin.Context) { sessions.Default(c).Get("k") })
	r.GET("/write", func(c *gin.Context) {
		s := sessions.Default(c)
		s.Set("k", "v")
		if err := s.Save(); err != nil {
			t.Error(err)
		}
	})
	bare := &app{t: t, router: r}
	v, others := new(visitor), new(visitor)
	bare.ok(v, "/write")
	bare.ok(others, "/write")
	sent := watch(a.rdb)
	cost := func(what, cookie, path string, trips, scripts int) {
		t.Helper()
		sent.reset()
		bare.ok(&visitor{cookie}, path)
		if n := sent.trips(); n > trips || len(sent.of("eval")) != scripts {
			t.Errorf("%s: %d round trips, %q; want %d, %d scripts", what, n, sent.of(""), trips, scripts)
		}
	}
	cost("a read", v.cookie, "/read", 1, 0)
	unknown := strings.Repeat("B", 21) + "A." + strings.SplitN(v.cookie, ".", 2)[1]
	cost("a write of an unknown token", "session="+unknown, "/write", 2, 1)
	for name, cookie := range forgeries(t, a, v) {
		cost(name, cookie, "/read", 2, 0)
	}
	wrong := "session=" + forged(t, a, v, func(b []byte) { b[0]++ })
	cost("a wrong secret", wrong, "/read", 1, 0)
	servers := 1
	if topology() == cluster {
		servers = 3 // which are asked at the same time
	}
	cost("four tokens", strings.Join([]string{"session=" + unknown, wrong, others.cookie, v.cookie}, "; "), "/read", servers, 0)
	cost("no token", "session=eyJh", "/read", 0, 0)
	// Of a session that has ended, and whose record is still there.
	if err := a.m.Destroy(within(t), strings.SplitN(strings.TrimPrefix(v.cookie, "session="), ".", 2)[0], ""); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, cookie := range forgeries(t, a, v) {
		all = append(all, cookie)
	}
	cost("forged, of an ended session", all[0], "/read", 2, 0)
	cost("four of them", strings.Join(all[:4], "; "), "/read", 3, 0)
}
