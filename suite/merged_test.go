package suite_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// meeting lets two requests of one session meet: the first one waits, after it has done
// something with the session, until the second one has been answered.
type meeting struct {
	a       *app
	entered chan struct{}
	resume  chan struct{}
}

// meet adds the page /slow, whose handler calls before, waits, and calls after.
func (a *app) meet(before func(c *lifecycle.Context), after func(c *lifecycle.Context) error) *meeting {
	m := &meeting{a, make(chan struct{}), make(chan struct{})}
	a.get("/slow", func(c *lifecycle.Context) {
		before(c)
		m.entered <- struct{}{}
		<-m.resume
		a.answer(c, after(c))
	})
	return m
}

// during calls f while the request of /slow waits, and returns the answer of /slow.
func (m *meeting) during(v *visitor, f func()) (status int, body string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w := m.a.visit(&visitor{v.cookie}, "/slow")
		status, body = w.Code, w.Body.String()
	}()
	redistest.Receive(m.a.t, m.entered)
	f()
	m.resume <- struct{}{}
	<-done
	return status, body
}

// values returns the values of a live session.
func (a *app) values(id string) map[any]any {
	a.t.Helper()
	s, err := a.m.Get(redistest.Within(a.t), id)
	if err != nil {
		a.t.Fatal(err)
	}
	return s.Values()
}

// Two requests save the same session at the same time. What both have changed is kept: a
// key that only one has changed is as that one has left it, a key that both have changed is
// as the later Save has left it, and no flash is lost.
func TestSavesAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	var seen map[any]any
	m := a.meet(func(c *lifecycle.Context) {
		s := c.Values()
		s.Set("slow", "yes")
		s.Set("both", "slow")
		s.Delete("old")
		s.AddFlash("from slow")
		s.Flashes("read")
		s.Flashes("turned")
		s.AddFlash("slow", "turned")
		s.Get("list").([]string)[0] = "changed in place"
	}, func(c *lifecycle.Context) error {
		err := c.Values().Save()
		seen = c.Session().Values()
		return err
	})
	a.get("/begin", func(c *lifecycle.Context) {
		s := c.Values()
		s.Set("old", "there")
		s.Set("older", "there")
		s.Set("list", []string{"old"})
		s.AddFlash("to read", "read")
		s.AddFlash("to read", "turned")
		a.answer(c, s.Save())
	})
	a.get("/fast", func(c *lifecycle.Context) {
		s := c.Values()
		s.Set("fast", "yes")
		s.Set("both", "fast")
		s.Delete("older")
		s.AddFlash("from fast")
		s.AddFlash("new", "read")
		s.AddFlash("fast", "turned")
		a.answer(c, s.Save())
	})
	v := new(visitor)
	id := a.ok(v, "/begin")
	if status, body := m.during(v, func() { a.ok(v, "/fast") }); status != http.StatusOK {
		t.Fatalf("the later save: %d %s", status, body)
	}
	want := `map[_flash:[from fast from slow] both:slow fast:yes list:[changed in place] read:[new] slow:yes turned:[slow fast]]`
	if got := fmt.Sprint(a.values(id)); got != want {
		t.Errorf("the session has %s, want %s", got, want)
	}
	if got := fmt.Sprint(seen); got != want {
		t.Errorf("after its Save, the slow request has %s, want %s", got, want)
	}
}

// It is the same whatever else the two requests do with the session.
func TestSavesAtOnceWithOtherChanges(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithAbsoluteTimeout(0))
	a.hold(nothing)
	a.remember()
	for name, other := range map[string]func(v *visitor){
		"other timeouts": func(v *visitor) {
			a.ok(v, "/remember")
			a.ok(v, "/set?fast=yes")
		},
		"a closure":     func(v *visitor) { a.ok(v, "/hold"); a.ok(v, "/set?fast=yes") },
		"several saves": func(v *visitor) { a.ok(v, "/set?x=1"); a.ok(v, "/set?fast=yes"); a.ok(v, "/set?x=2") },
	} {
		b := a.with(a.m.Middleware())
		m := b.meet(func(c *lifecycle.Context) { c.Values().Set("slow", "yes") }, func(c *lifecycle.Context) error {
			if name == "a closure" { // it reads the record anew if the timeouts have changed
				if err := register(c, nothing); err != nil {
					return err
				}
			}
			return c.Values().Save()
		})
		_, v := a.begin()
		a.ok(v, "/set?base=yes")
		if status, body := m.during(v, func() { other(v) }); status != http.StatusOK {
			t.Errorf("%s: %d %s", name, status, body)
		}
		for _, key := range []string{"base", "slow", "fast"} {
			if got := a.ok(v, "/get?key="+key); got != "yes" {
				t.Errorf("%s: %s is %s, want yes", name, key, got)
			}
		}
	}
}

// A request that saves twice, and whose first Save has put its values on top of another
// request's, goes on from there.
func TestSaveTwiceBesideAnother(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithCodec(lifecycle.JSON))
	type cart struct{ Items []string }
	var v *visitor
	m := a.meet(func(*lifecycle.Context) {}, func(c *lifecycle.Context) error {
		for i := range 3 {
			c.Values().Set("cart", cart{[]string{"apple"}}) // comes back as a map
			c.Values().Set(fmt.Sprint("n", i), i)
			a.ok(&visitor{v.cookie}, fmt.Sprintf("/set?other%d=yes", i))
			if err := c.Values().Save(); err != nil {
				return err
			}
		}
		return nil
	})
	var id string
	id, v = a.begin()
	if status, body := m.during(v, func() { a.ok(v, "/set?cart=empty") }); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	want := "map[cart:map[Items:[apple]] n0:0 n1:1 n2:2 other0:yes other1:yes other2:yes]"
	if got := fmt.Sprint(a.values(id)); got != want {
		t.Errorf("the session has %s, want %s", got, want)
	}
}

// Fifty visitors with one session save at once, on two instances, again and again. Every key
// is there afterwards.
func TestManySaveAtOnce(t *testing.T) {
	t.Parallel()
	prefix := redistest.Prefix()
	apps := []*app{
		newApp(t, shared(t), prefix, lifecycle.WithMaxValuesSize(0), lifecycle.WithRedisTimeout(30*time.Second)),
		newApp(t, shared(t), prefix, lifecycle.WithMaxValuesSize(0), lifecycle.WithRedisTimeout(30*time.Second)),
	}
	const visitors, saves = 50, 10
	id, v := apps[0].begin()
	var wg sync.WaitGroup
	for n := range visitors {
		wg.Go(func() {
			for i := range saves {
				w := apps[n%2].visit(&visitor{v.cookie}, fmt.Sprintf("/set?k%d.%d=yes", n, i))
				if w.Code != http.StatusOK {
					t.Errorf("save %d of visitor %d: %d %s", i, n, w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
	if got := len(apps[0].values(id)); got != visitors*saves {
		t.Errorf("the session has %d keys, want %d", got, visitors*saves)
	}
}

// The usual Save takes one round trip, and so does the next one of the same request.
func TestUsualSaveIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	id, v := a.begin()
	trips := a.tripsOf(id)
	var inHandler []int
	a.get("/twice", func(c *lifecycle.Context) {
		for range 2 {
			before := trips()
			c.Values().Set("k", "v")
			if err := c.Values().Save(); err != nil {
				t.Error(err)
			}
			inHandler = append(inHandler, trips()-before)
		}
	})
	a.ok(v, "/set?warm=up") // Redis may not know the script yet
	a.ok(v, "/twice")
	if !slices.Equal(inHandler, []int{1, 1}) {
		t.Errorf("two saves took %v round trips, want one each", inHandler)
	}
}
