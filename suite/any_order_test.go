package suite_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// stepsOfAHandler are what a handler can do with its session.
var stepsOfAHandler = map[string]func(c *lifecycle.Context) error{
	"set user":    func(c *lifecycle.Context) error { c.Values().Set("user", "alice"); return nil },
	"set cart":    func(c *lifecycle.Context) error { c.Values().Set("cart", "full"); return nil },
	"delete user": func(c *lifecycle.Context) error { c.Values().Delete("user"); return nil },
	"clear":       func(c *lifecycle.Context) error { c.Values().Clear(); return nil },
	"flash":       func(c *lifecycle.Context) error { c.Values().AddFlash("bye"); return nil },
	"read":        func(c *lifecycle.Context) error { c.Values().Flashes(); return nil },
	"save":        func(c *lifecycle.Context) error { return c.Values().Save() },
	"logout":      logout,
	"destroy":     (*lifecycle.Context).DestroySession,
	"renew":       (*lifecycle.Context).RenewSession,
	"begin":       (*lifecycle.Context).Begin,
	"rotate":      (*lifecycle.Context).RotateSession,
	"hold":        func(c *lifecycle.Context) error { return register(c, nothing, lifecycle.Key("seat")) },
	"timeouts":    func(c *lifecycle.Context) error { return c.SetTimeouts(time.Hour, time.Hour) },
	"age":         func(c *lifecycle.Context) error { return saveWith(c, sessions.Options{Path: "/", MaxAge: 3600}) },
}

// Whatever a handler does with its session, in whatever order: the next request has what the
// handler had when it was done, and each session that began ends, or is live.
func TestStepsInAnyOrder(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(stepsOfAHandler))
	for i := range 8 {
		opts := []lifecycle.Option{lifecycle.WithTokenHeader(field)}
		if i&1 != 0 {
			opts = append(opts, lifecycle.WithLazyCreation())
		}
		if i&2 != 0 {
			opts = append(opts, lifecycle.WithEndWhenCleared())
		}
		a := newApp(t, shared(t), redistest.Prefix(), opts...).start()
		v, c := new(visitor), &client{a, "new"}
		visit := func(path string) {
			if i&4 == 0 {
				a.ok(v, path)
			} else {
				c.ok(path)
			}
		}
		var done []string
		var had, has [3]string // the session's ID, the values that were saved, and the values
		look := func(c *lifecycle.Context) (is [3]string) {
			if s := c.Session(); s != nil {
				is[0], is[1] = s.ID, fmt.Sprint(s.Values())
			}
			is[2] = fmt.Sprint(c.Values().Get("user"), c.Values().Get("cart"))
			return is
		}
		a.get("/steps", func(c *lifecycle.Context) {
			done = nil
			for range 1 + rand.IntN(7) {
				name := names[rand.IntN(len(names))]
				err := stepsOfAHandler[name](c)
				done = append(done, fmt.Sprintf("%s: %v", name, err))
				if err != nil && !errors.Is(err, lifecycle.ErrSessionEnded) && !errors.Is(err, lifecycle.ErrNoSession) {
					t.Errorf("%q", done)
				}
			}
			if err := c.Values().Save(); err != nil {
				t.Errorf("the last Save, after %q: %v", done, err)
			}
			if had = look(c); had[0] != c.Values().ID() {
				t.Errorf("after %q the session is %q, and to gin-contrib %q", done, had[0], c.Values().ID())
			}
		})
		a.get("/next", func(c *lifecycle.Context) { has = look(c) })
		for range 100 {
			visit("/steps")
			visit("/next")
			if had[0] == "" { // the next request may have begun a session
				had[0], had[1] = has[0], has[1]
			}
			if has != had {
				t.Fatalf("options %03b: after %q the next request has %q, want %q", i, done, has, had)
			}
		}
		live := 0
		for _, err := range a.m.All(redistest.Within(t)) {
			if err != nil {
				t.Fatal(err)
			}
			live++
		}
		if live > 1 {
			t.Errorf("options %03b: %d sessions of one visitor are live", i, live)
		}
		redistest.Eventually(t, "all other sessions have ended", func() bool { return len(a.created)-len(a.destroyed) == live })
	}
}
