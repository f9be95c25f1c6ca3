package suite_test

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A forging client knows how a token is made, which docs/security.md explains. These are
// offsets in the second half of a token, after decoding.
const (
	atIdle     = 32
	atDeadline = 38
	atMark     = 44
	atSent     = 48
)

// forged returns the value of a visitor's cookie. change may change the decoded second
// half of the token before.
func forged(t testing.TB, v *visitor, change func(half []byte)) string {
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

// forgeries returns cookies that a client can make from its own. All of them have the
// right secret.
func forgeries(t testing.TB, v *visitor) map[string]string {
	t.Helper()
	now := time.Now().UnixMilli()
	forge := func(idle, deadline int64) string {
		return "session=" + forged(t, v, func(b []byte) {
			put48(b[atIdle:], idle)
			put48(b[atDeadline:], deadline)
		})
	}
	return map[string]string{
		"sent in the future":         "session=" + forged(t, v, func(b []byte) { put32(b[atSent:], now/1000+1e6) }),
		"sent long ago":              "session=" + forged(t, v, func(b []byte) { put32(b[atSent:], 1) }),
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

// A cookie with the right secret and forged timeouts is accepted. The session keeps its own
// timeouts, and the visitor gets the good cookie again.
func TestForgedTimeouts(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	id, v := a.begin()
	a.ok(v, "/") // from now on the idle timeout counts, not the unconfirmed timeout
	live := a.liveKey(id)
	for name, cookie := range forgeries(t, v) {
		before := a.admin.PTTL(redistest.Within(t), live).Val()
		f := &visitor{cookie}
		if got := a.ok(f, "/"); got != id {
			t.Errorf("%s: session %q", name, got)
		}
		withoutTime := func(cookie string) string { return cookie[:len(cookie)-6] } // when the cookie was sent
		if withoutTime(f.cookie) != withoutTime(v.cookie) {
			t.Errorf("%s: the visitor did not get the good cookie: %s, want %s", name, f.cookie, v.cookie)
		}
		if d := a.admin.PTTL(redistest.Within(t), live).Val(); d > 30*time.Minute || d < before-time.Minute {
			t.Errorf("%s: time to live %v", name, d)
		}
		if keys := a.keys("live:" + id + ":*"); !slices.Equal(keys, []string{live}) {
			t.Errorf("%s: live keys %v", name, keys)
		}
	}
	a.quiet()
}

// A request with forged timeouts never prolongs the session, not even for the moment
// between two commands of the request: no command gives the live key another time to live.
func TestForgedTimeoutsProlongNothing(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a := newApp(t, d, p)
	sent := watch(a.rdb)
	_, v := a.begin()
	live := a.key("live:*")
	all := forgeries(t, v)
	for _, cookie := range all {
		a.ok(&visitor{cookie}, "/")
	}
	seen := sent.of("getex")
	if len(seen) < len(all) {
		t.Fatal("the test has not seen the commands of the store")
	}
	for _, cmd := range seen {
		words := strings.Fields(cmd)
		if words[1] == live && !strings.HasPrefix(words[3], "1800000") {
			t.Errorf("a command gives the live key another time to live: %s", cmd)
		}
	}
}

// Redis is out of memory, so that the library could not correct anything afterwards. Clients
// with forged timeouts still cannot prolong a session.
func TestForgedTimeoutsWithMemoryFull(t *testing.T) {
	t.Parallel()
	server := startServer(t, "--maxmemory-policy", "noeviction")
	d := onServer(t, server)
	a := newApp(t, d, redistest.Prefix())
	const clients = 20
	visitors := make([]*visitor, clients)
	for i := range visitors {
		_, visitors[i] = a.begin()
	}
	if err := a.admin.ConfigSet(redistest.Within(t), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	for _, v := range visitors {
		for _, cookie := range forgeries(t, v) {
			a.visit(&visitor{cookie}, "/")
		}
		if w := a.visit(v, "/"); w.Code != http.StatusOK {
			t.Errorf("a read with the good cookie: %d", w.Code)
		}
	}
	for _, k := range a.keys("live:*") {
		if d := a.admin.PTTL(redistest.Within(t), k).Val(); d > 30*time.Minute || d < 0 {
			t.Errorf("%s: time to live %v", k, d)
		}
	}
	if err := a.admin.ConfigSet(redistest.Within(t), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if w := a.visit(new(visitor), "/"); w.Code != http.StatusOK {
		t.Errorf("a new visitor, after Redis has memory again: %d", w.Code)
	}
}

// A client sends good and forged cookies in turn. The session ends in time all the same,
// with and without notifications, and the client cannot choose the reason.
func TestForgedTimeoutsLoseNoEnd(t *testing.T) {
	t.Parallel()
	silent := lifecycle.WithNotifications(false)
	idle, absolute := lifecycle.WithIdleTimeout(400*time.Millisecond), lifecycle.WithAbsoluteTimeout(700*time.Millisecond)
	for name, opts := range map[string][]lifecycle.Option{
		"idle":             {idle},
		"idle, silent":     {idle, silent},
		"absolute":         {lifecycle.WithIdleTimeout(time.Minute), absolute},
		"absolute, silent": {lifecycle.WithIdleTimeout(time.Minute), absolute, silent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, shared(t), redistest.Prefix(), opts...).start()
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
						for _, cookie := range forgeries(t, v) {
							a.visit(&visitor{v.cookie}, "/")
							a.visit(&visitor{cookie}, "/") // begins another session if this one has ended
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

// A response that changes the timeouts is lost, and the visitor still sends the cookie from
// before. The session is found. So is the session of a request that was running during the
// change: this request can save, rotate, register hooks and log out.
func TestCookieFromBeforeAChangeOfTimeouts(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithAbsoluteTimeout(0))
	a.remember()
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
			a.answer(c, register(c, nothing))
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
				t.Errorf("%s in a request that was running during the change: %s", then, w.Body)
			}
		}()
		<-entered
		a.ok(&visitor{old}, "/remember") // the response is lost
		lost := &visitor{old}
		if got := a.ok(lost, "/"); got != id || lost.cookie == old {
			t.Errorf("the cookie from before the change: session %q, want %s; cookie %s", got, id, lost.cookie)
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
			t.Errorf("after %s: session %q, want %s", then, got, id)
		}
		// The age that the other request has set still counts.
		if d := a.admin.PTTL(redistest.Within(t), a.liveKey(id)).Val(); d <= 30*time.Minute {
			t.Errorf("after %s: time to live %v", then, d)
		}
	}
}

// A token is good only for the cookie name that it was issued for, even if a client changes
// the part of the token that says the name.
func TestTokenUnderAnotherName(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	shop := newApp(t, d, p, lifecycle.WithSessionName("shop"))
	admin := newApp(t, d, p, lifecycle.WithSessionName("admin"))
	id, v := shop.begin()
	value := strings.TrimPrefix(v.cookie, "shop=")
	own := new(visitor)
	admin.ok(own, "/")
	// This part is no secret: the attacker takes it from a cookie of his own.
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
	relabelled := forged(t, &visitor{"session=" + value}, mark)
	if relabelled == value {
		t.Error("tokens for two names do not differ")
	}
	for _, cookie := range []string{value, relabelled} {
		if got := admin.ok(&visitor{"admin=" + cookie}, "/"); got == id {
			t.Errorf("the session of the shop is accepted as a session of admin")
		}
	}
	if got := shop.ok(v, "/"); got != id {
		t.Errorf("session %q, want %s", got, id)
	}
}

// Reading a session takes one round trip and no script, also with four cookies. A forged
// cookie costs no more than an unknown one, which begins a session.
func TestCostOfTokens(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	bare := a.bare() // which sends nothing in the background
	const read, write = "/get?key=k", "/set?k=v"
	v, others := new(visitor), new(visitor)
	bare.ok(v, write)
	bare.ok(others, write)
	sent := watch(a.rdb)
	cost := func(what, cookie, path string, trips, scripts int) {
		t.Helper()
		sent.reset()
		bare.ok(&visitor{cookie}, path)
		if n := sent.trips(); n > trips || len(sent.of("eval")) != scripts {
			t.Errorf("%s: %d round trips, %q; want %d, %d scripts", what, n, sent.of(""), trips, scripts)
		}
	}
	cost("a read", v.cookie, read, 1, 0)
	unknown := strings.Repeat("B", 21) + "A." + strings.SplitN(v.cookie, ".", 2)[1]
	cost("a write of an unknown token", "session="+unknown, write, 2, 1)
	for name, cookie := range forgeries(t, v) {
		cost(name, cookie, read, 2, 0)
	}
	wrong := "session=" + forged(t, v, func(b []byte) { b[0]++ })
	cost("a wrong secret", wrong, read, 1, 0)
	servers := 1
	if topology() == cluster {
		servers = 3 // each gets a part of the pipeline
	}
	cost("four tokens", strings.Join([]string{"session=" + unknown, wrong, others.cookie, v.cookie}, "; "), read, servers, 0)
	cost("no token", "session=eyJh", read, 0, 0)
	// The session has ended, and its record is still there.
	a.end(strings.SplitN(strings.TrimPrefix(v.cookie, "session="), ".", 2)[0], "")
	var all []string
	for _, cookie := range forgeries(t, v) {
		all = append(all, cookie)
	}
	cost("forged, of an ended session", all[0], read, 2, 0)
	cost("four of them", strings.Join(all[:4], "; "), read, 3, 0)
}
