package suite_test

import (
	"fmt"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// With WithEndWhenCleared, Clear and Save are a logout; without it they are not.
func TestEndWhenCleared(t *testing.T) {
	t.Parallel()
	for _, set := range []bool{true, false} {
		var opts []lifecycle.Option
		if set {
			opts = append(opts, lifecycle.WithEndWhenCleared())
		}
		a := newApp(t, shared(t), redistest.Prefix(), opts...).start()
		a.get("/logout", func(c *lifecycle.Context) {
			s := c.Values()
			s.Clear()
			if err := s.Save(); err != nil {
				t.Error(err)
			}
			if c.Query("flash") != "" {
				s.AddFlash("bye")
			}
			a.answer(c, s.Save())
		})
		a.get("/read", func(c *lifecycle.Context) {
			c.Values().Flashes()
			a.answer(c, c.Values().Save())
		})
		id, v := a.begin()
		if got := a.ok(v, "/logout"); got != id {
			t.Errorf("set %v: a session without values has become %q", set, got)
		}
		a.ok(v, "/set?user=alice")
		if !set {
			if got := a.ok(v, "/logout"); got != id {
				t.Errorf("the session is %q, want %s", got, id)
			}
			a.quiet()
			continue
		}
		next := a.ok(v, "/logout?flash=1")
		if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed || s.Get("user") != "alice" {
			t.Errorf("ended: %s, %s, %v", s.ID, s.Reason, s.Values())
		}
		if next == id || len(a.values(next)) != 1 {
			t.Errorf("the session with the flash is %q", next)
		}
		if got := a.ok(v, "/read"); got != next {
			t.Errorf("after its only flash was read, the session is %q, want %s", got, next)
		}
		a.quiet()
		a.ok(v, "/set?user=alice")
		a.ok(v, "/logout")
		if a.nextDestroyed(); v.cookie != "" {
			t.Errorf("after the logout the visitor has the cookie %s", v.cookie)
		}
		// The same without the middleware.
		b := a.bare()
		b.router.GET("/clear", func(c *gin.Context) {
			s := sessions.Default(c)
			s.Clear()
			if err := s.Save(); err != nil {
				t.Error(err)
			}
		})
		id = b.ok(v, "/set?user=bob")
		b.visit(v, "/clear")
		if s := a.nextDestroyed(); s.ID != id || s.Get("user") != "bob" {
			t.Errorf("without the middleware, ended: %s, %v", s.ID, s.Values())
		}
	}
}

// What of a session with values is left by a logout with WithEndWhenCleared, in one Save.
func TestLogoutLeavesAFlash(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		change func(s sessions.Session)
		goesOn bool
		left   string
	}{
		"Clear, and a flash":       {func(s sessions.Session) { s.Clear(); s.AddFlash("bye") }, false, "map[_flash:[bye]]"},
		"Delete, and a flash":      {func(s sessions.Session) { s.Flashes(); s.Delete("user"); s.AddFlash("bye") }, false, "map[_flash:[bye]]"},
		"Clear, and a value":       {func(s sessions.Session) { s.Clear(); s.Set("lang", "de") }, true, "map[lang:de]"},
		"Delete, an unread flash":  {func(s sessions.Session) { s.Delete("user"); s.AddFlash("bye") }, true, "map[_flash:[hello bye]]"},
		"a flash":                  {func(s sessions.Session) { s.Flashes(); s.AddFlash("bye") }, true, "map[_flash:[bye] user:alice]"},
		"a value becomes a list":   {func(s sessions.Session) { s.Flashes(); s.Set("user", []any{"bob"}) }, true, "map[user:[bob]]"},
		"Clear, and another flash": {func(s sessions.Session) { s.Clear(); s.AddFlash("bye", "info") }, false, "map[info:[bye]]"},
	} {
		for _, codec := range []lifecycle.Codec{lifecycle.Gob, lifecycle.JSON} {
			a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithEndWhenCleared(), lifecycle.WithCodec(codec)).start()
			a.get("/login", func(c *lifecycle.Context) {
				c.Values().AddFlash("hello")
				a.answer(c, save(c, "user", "alice"))
			})
			a.get("/change", func(c *lifecycle.Context) {
				x.change(c.Values())
				a.answer(c, c.Values().Save())
			})
			v := new(visitor)
			id := a.ok(v, "/login")
			a.nextCreated()
			next := a.ok(v, "/change")
			if (next == id) != x.goesOn || next == "" {
				t.Errorf("%s: the session is %q, and was %s", name, next, id)
			}
			if got := fmt.Sprint(a.values(next)); got != x.left || a.ok(v, "/") != next {
				t.Errorf("%s: the next request has %s, want %s", name, got, x.left)
			}
			if x.goesOn {
				a.quiet()
				continue
			}
			if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed || s.Get("user") != "alice" {
				t.Errorf("%s: ended: %s, %s, %v", name, s.ID, s.Reason, s.Values())
			}
			if s := a.nextCreated(); s.ID != next {
				t.Errorf("%s: created hook for %s, want %s", name, s.ID, next)
			}
		}
	}
}

// Lists of the application are no flashes: with the codec JSON every list is a []any.
func TestListsAreLeft(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithEndWhenCleared(), lifecycle.WithCodec(lifecycle.JSON)).start()
	a.get("/fill", func(c *lifecycle.Context) {
		c.Values().Set("cart", []string{"pen", "ink"})
		a.answer(c, save(c, "coupon", "spring"))
	})
	a.get("/remove", func(c *lifecycle.Context) {
		s := c.Values()
		s.Set("cart", s.Get("cart").([]any)[:1])
		s.Delete("coupon")
		a.answer(c, s.Save())
	})
	v := new(visitor)
	id := a.ok(v, "/fill")
	if got := a.ok(v, "/remove"); got != id || fmt.Sprint(a.values(id)) != "map[cart:[pen]]" {
		t.Errorf("the session is %q of %v, want %s", got, a.values(got), id)
	}
	a.nextCreated()
	a.quiet()
}

// Two requests delete one of the last two values each, at the same time. The later Save ends the
// session.
func TestTwoRequestsClearASession(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithEndWhenCleared()).start()
	v := new(visitor)
	a.get("/delete", func(c *lifecycle.Context) {
		if key := c.Query("between"); key != "" {
			a.ok(&visitor{v.cookie}, "/delete?key="+key)
		}
		c.Values().Delete(c.Query("key"))
		a.answer(c, c.Values().Save())
	})
	id := a.ok(v, "/set?user=alice&cart=full&lang=de")
	if got := a.ok(v, "/delete?key=user&between=cart"); got != id {
		t.Errorf("with a value left the session is %q", got)
	}
	a.ok(v, "/set?user=alice")
	a.quiet()
	if got := a.ok(v, "/delete?key=user&between=lang"); got != "" || v.cookie != "" {
		t.Errorf("the session is %q, cookie %q", got, v.cookie)
	}
	if s := a.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("ended: %s, %s", s.ID, s.Reason)
	}
}
