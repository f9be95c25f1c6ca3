package suite_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// says returns a hook that adds what and the reason to a journal.
func (j *journal) says(what string) lifecycle.Hook {
	return func(_ context.Context, s *lifecycle.Session) error {
		j.add(what + ": " + string(s.Reason))
		return nil
	}
}

// A closure with the key of an earlier one replaces it, in its place: 30 reconnects of a
// stream leave one hook.
func TestKeyOfAClosure(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	var j journal
	n := 0
	var removes []func() bool
	a.get("/stream", func(c *lifecycle.Context) {
		n++
		remove, err := c.OnSessionDestroyed(j.says(fmt.Sprint("seat ", n)), lifecycle.Key("seat:A1"), nil)
		removes = append(removes, remove)
		a.answer(c, err)
	})
	a.hold(j.says("file"))
	id, v := a.begin()
	a.ok(v, "/stream")
	a.ok(v, "/hold")
	for range 29 {
		a.ok(v, "/stream")
	}
	if n := a.m.Stats().Closures; n != 2 {
		t.Errorf("%d closures are held, want two", n)
	}
	for i, remove := range removes[:29] {
		if remove() {
			t.Errorf("the replaced closure %d was taken back", i+1)
		}
	}
	otherID, other := a.begin()
	a.ok(other, "/stream") // the keys of two sessions have nothing to do with each other
	a.end(id, "over")
	a.nextDestroyed()
	if got := j.String(); got != "file: over seat 30: over" {
		t.Errorf("ran: %s", got)
	}
	if removes[29]() {
		t.Error("the closure was taken back after it has run")
	}
	a.end(otherID, "over")
	a.nextDestroyed()
	if got := j.String(); got != "file: over seat 30: over seat 31: over" {
		t.Errorf("ran: %s", got)
	}
}

// An empty key is an error, and nothing is registered.
func TestEmptyKey(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	a.hold(nothing, lifecycle.Key(""))
	_, v := a.begin()
	if w := a.visit(v, "/hold"); !strings.Contains(w.Body.String(), `Key: the key is ""`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := a.m.Stats().Closures; n != 0 {
		t.Errorf("%d closures are held", n)
	}
}

// A closure that was taken back does not run. With the last one of a session Redis forgets
// that this instance has some, in one round trip; before, taking back costs none.
func TestTakingBackAClosure(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a, b := newApp(t, d, p), newApp(t, d, p).start()
	var j journal
	var removes []func() bool
	a.get("/hold", func(c *lifecycle.Context) {
		remove, err := c.OnSessionDestroyed(j.says(fmt.Sprint(len(removes) + 1)))
		removes = append(removes, remove)
		a.answer(c, err)
	})
	id, v := a.begin()
	a.ok(v, "/hold")
	a.ok(v, "/hold")
	watching := func() bool { return len(a.keys("watch:"+id)) > 0 }
	if !watching() {
		t.Fatal("Redis does not know of the closures")
	}
	if !removes[0]() || removes[0]() || !watching() {
		t.Error("the first of two closures: not taken back, or twice, or Redis has forgotten the other")
	}
	// The request is over, and this is another goroutine.
	took := make(chan bool)
	go func() { took <- removes[1]() }()
	if !redistest.Receive(t, took) || removes[1]() || watching() {
		t.Errorf("the last closure: not taken back, or twice, or Redis knows of it: %v", watching())
	}
	b.end(id, "over")
	b.nextDestroyed()
	redistest.Eventually(t, "nothing of the session is left", func() bool { return len(a.keys("*:"+id)) == 0 })
	a.shutdown()
	if got := j.String(); got != "" {
		t.Errorf("ran: %s", got)
	}
	if s := a.m.Stats(); s.HooksRun != 1 || s.Closures != 0 { // the created hook
		t.Errorf("%d hooks ran, %d closures are held", s.HooksRun, s.Closures)
	}
}

// Taking back the last closure of a session costs a round trip, and others none.
func TestCostOfTakingBack(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix())
	removes := a.removable()
	id, v := a.begin()
	a.ok(v, "/removable")
	(<-removes)() // from now on the server has the script
	for range 3 {
		a.ok(v, "/removable")
	}
	first, second, third := <-removes, <-removes, <-removes
	sent := watch(a.rdb)
	if !second() || !first() || sent.naming("watch:"+id) != 0 || len(a.keys("watch:"+id)) != 1 {
		t.Errorf("two closures of three: sent %v", sent.of(""))
	}
	// On a cluster the hook of the client does not see what goes to one of the servers.
	if !third() || sent.naming("watch:"+id) > 1 || len(a.keys("watch:"+id)) != 0 {
		t.Errorf("the last closure: sent %v", sent.of(""))
	}
}

// removable adds the page /removable, which registers a closure and sends what takes it back
// to a channel.
func (a *app) removable() chan func() bool {
	removes := make(chan func() bool, 100)
	a.get("/removable", func(c *lifecycle.Context) {
		remove, err := c.OnSessionDestroyed(nothing)
		removes <- remove
		a.answer(c, err)
	})
	return removes
}

// While Redis does not answer, a closure is taken back all the same.
func TestTakingBackWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	a := newApp(t, onServer(t, server), redistest.Prefix(), lifecycle.WithRedisTimeout(time.Second))
	removes := a.removable()
	id, v := a.begin()
	a.ok(v, "/removable")
	server.Pause()
	if remove := <-removes; !remove() || remove() {
		t.Error("not taken back, or twice")
	}
	server.Resume()
	if n := a.m.Stats().Closures; n != 0 {
		t.Errorf("%d closures are held", n)
	}
	a.ok(v, "/removable")
	a.end(id, "over")
	a.nextDestroyed()
	if (<-removes)() {
		t.Error("the closure was taken back after the end")
	}
}

// Registrations and removes of one session at the same time: at the end the instance holds
// one closure, and Redis knows it.
func TestTakingBackWhileOthersRegister(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a, b := newApp(t, d, p), newApp(t, d, p).start()
	ran := make(chan string, 100)
	a.get("/hold", func(c *lifecycle.Context) {
		keep := c.Query("keep")
		remove, err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error {
			ran <- keep
			return nil
		})
		if err == nil && keep == "" && !remove() {
			t.Error("not taken back")
		}
		a.answer(c, err)
	})
	id, v := a.begin()
	const workers, rounds = 4, 25
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			mine := *v
			for i := range rounds {
				url := "/hold"
				if w == 0 && i == rounds-1 {
					url = "/hold?keep=it"
				}
				if got := a.visit(&mine, url); got.Code != 200 {
					t.Errorf("%d %s", got.Code, got.Body)
				}
			}
		})
	}
	wg.Wait()
	if keys := a.keys("watch:" + id); len(keys) != 1 || a.m.Stats().Closures != 1 {
		t.Errorf("Redis has %v, and the instance %d closures, want one", keys, a.m.Stats().Closures)
	}
	b.end(id, "over")
	if got := redistest.Receive(t, ran); got != "it" {
		t.Error("a closure ran that was taken back")
	}
	if len(ran) > 0 {
		t.Error("more than one closure ran")
	}
}

// A closure with NotAtShutdown does not run at the shutdown, and Redis forgets it. The
// session lives on, and at its end other instances run theirs.
func TestNotAtShutdown(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a, b := newApp(t, d, p), newApp(t, d, p).start()
	var j journal
	var remove func() bool
	a.get("/seat", func(c *lifecycle.Context) {
		var err error
		remove, err = c.OnSessionDestroyed(j.says("seat on a"), lifecycle.Key("seat"), lifecycle.NotAtShutdown())
		a.answer(c, err)
	})
	a.hold(j.says("file on a"))
	ran := make(chan lifecycle.Reason, 1)
	b.hold(func(_ context.Context, s *lifecycle.Session) error {
		ran <- s.Reason
		return nil
	}, lifecycle.Key("seat"), lifecycle.NotAtShutdown())
	id, v := a.begin()
	a.ok(v, "/seat")
	a.ok(v, "/hold")
	onlySeat, w := a.begin()
	a.ok(w, "/seat")
	a.shutdown()
	if got := j.String(); got != "file on a: shutdown" {
		t.Errorf("ran at the shutdown: %s", got)
	}
	if keys := a.keys("watch:*"); len(keys) > 0 {
		t.Errorf("Redis still has %v", keys)
	}
	if remove() {
		t.Error("a closure was taken back after the shutdown had dropped it")
	}
	if n := a.m.Stats().Closures; n != 0 {
		t.Errorf("%d closures are held", n)
	}
	b.ok(v, "/hold") // the visitor goes on on another instance
	b.end(id, "over")
	if r := redistest.Receive(t, ran); r != "over" {
		t.Errorf("reason %q", r)
	}
	b.end(onlySeat, "over")
	b.nextDestroyed()
	b.nextDestroyed()
	if got := j.String(); got != "file on a: shutdown" {
		t.Errorf("ran: %s", got)
	}
}

// At its session's end a closure with NotAtShutdown runs like any other.
func TestNotAtShutdownRunsAtTheEnd(t *testing.T) {
	t.Parallel()
	a := newApp(t, shared(t), redistest.Prefix(), lifecycle.WithIdleTimeout(300*time.Millisecond))
	var j journal
	a.hold(j.says("seat"), lifecycle.NotAtShutdown())
	a.ok(new(visitor), "/hold")
	a.nextDestroyed()
	if got := j.String(); got != "seat: idle timeout" {
		t.Errorf("ran: %s", got)
	}
}
