package closures

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

func taken(c *Closures[string], id string) []string {
	hooks, _ := c.Take(ledger.End{ID: id})
	return hooks
}

// A hook with the key of an earlier one of the same session gets its place.
func TestKeyReplaces(t *testing.T) {
	t.Parallel()
	var c Closures[string]
	first := register(t, &c, "a", "engine 1", Options{Key: "engine"})
	hold(t, &c, "a", "lock")
	register(t, &c, "b", "engine of b", Options{Key: "engine"})
	second := register(t, &c, "a", "engine 2", Options{Key: "engine"})
	if c.Count() != 3 || first() {
		t.Errorf("%d hooks, the replaced one can be taken back", c.Count())
	}
	if got := taken(&c, "a"); !slices.Equal(got, []string{"engine 2", "lock"}) || second() {
		t.Errorf("took %v; the second can be taken back afterwards", got)
	}
	if got := taken(&c, "b"); !slices.Equal(got, []string{"engine of b"}) {
		t.Errorf("took %v", got)
	}
}

// A hook stays if the one that is to replace it cannot be registered.
func TestFailedReplacementKeepsTheHook(t *testing.T) {
	t.Parallel()
	var c Closures[string]
	register(t, &c, "a", "1", Options{Key: "k"})
	if _, _, err := c.Register("a", "2", Options{Key: "k"}, returns("", errors.New("away"))); err == nil {
		t.Error("no error")
	}
	if got := taken(&c, "a"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("took %v", got)
	}
}

func TestFirstRunsFirst(t *testing.T) {
	t.Parallel()
	var c Closures[string]
	register(t, &c, "a", "first", Options{First: true})
	hold(t, &c, "a", "1", "2")
	if got := taken(&c, "a"); !slices.Equal(got, []string{"1", "2", "first"}) { // the last one runs first
		t.Errorf("took %v", got)
	}
}

func TestCloseDropsHooks(t *testing.T) {
	t.Parallel()
	var c Closures[string]
	dropped := register(t, &c, "a", "seat", Options{NotAtShutdown: true})
	hold(t, &c, "a", "file")
	register(t, &c, "b", "seat of b", Options{NotAtShutdown: true})
	left := map[string][]string{}
	for _, l := range c.Close() {
		left[l.ID] = l.Hooks
	}
	b, known := left["b"]
	if !slices.Equal(left["a"], []string{"file"}) || !known || len(b) > 0 || dropped() {
		t.Errorf("left %v; a dropped hook can be taken back", left)
	}
}

// Redis must forget a session with the last hook, and not before.
func TestRemove(t *testing.T) {
	t.Parallel()
	c, forgotten := unwatched()
	first := register(t, c, "a", "1", Options{})
	second := register(t, c, "a", "2", Options{})
	if !first() || first() || len(*forgotten) > 0 || !c.Has("a") {
		t.Errorf("the first of two: Redis forgets %v", *forgotten)
	}
	if !second() || second() || !slices.Equal(*forgotten, []string{"a"}) || c.Has("a") {
		t.Errorf("the last: Redis forgets %v", *forgotten)
	}
	if got := taken(c, "a"); len(got) > 0 {
		t.Errorf("took %v", got)
	}
	third := register(t, c, "a", "3", Options{})
	if got := taken(c, "a"); !slices.Equal(got, []string{"3"}) || third() || len(*forgotten) != 1 {
		t.Errorf("took %v, Redis forgets %v", got, *forgotten)
	}
}

// While a hook of the session is registering, Redis must not forget the session: it may have
// noted that registration already. If the registration fails, Redis must.
func TestRemoveDuringARegistration(t *testing.T) {
	t.Parallel()
	c, forgotten := unwatched()
	remove := register(t, c, "a", "1", Options{})
	_, _, err := c.Register("a", "2", Options{}, func() ([]byte, error) {
		if !remove() || len(*forgotten) > 0 || !c.Has("a") {
			t.Errorf("Redis forgets %v", *forgotten)
		}
		return nil, nil
	})
	if err != nil || !slices.Equal(taken(c, "a"), []string{"2"}) || len(*forgotten) > 0 {
		t.Errorf("error %v, Redis forgets %v", err, *forgotten)
	}
	remove = register(t, c, "b", "1", Options{})
	_, _, err = c.Register("b", "2", Options{}, func() ([]byte, error) {
		remove()
		return nil, errors.New("away")
	})
	if err == nil || !slices.Equal(*forgotten, []string{"b"}) || c.Has("b") {
		t.Errorf("error %v, Redis forgets %v", err, *forgotten)
	}
	// The session ends meanwhile, when its only hook has been taken back: nothing is taken, so
	// the caller of Take does not have Redis forget it.
	remove = register(t, c, "c", "1", Options{})
	_, _, err = c.Register("c", "2", Options{}, func() ([]byte, error) {
		remove()
		if got := taken(c, "c"); len(got) > 0 {
			t.Errorf("took %v", got)
		}
		return nil, errors.New("the session has ended")
	})
	if err == nil || !slices.Equal(*forgotten, []string{"b", "c"}) {
		t.Errorf("error %v, Redis forgets %v", err, *forgotten)
	}
}

// While Redis is told to forget a session, a registration waits, and an end may come.
func TestRegistrationDuringUnwatch(t *testing.T) {
	t.Parallel()
	told, answer := make(chan struct{}), make(chan struct{})
	c := &Closures[string]{Unwatch: func(string) {
		close(told)
		<-answer
	}}
	remove := register(t, c, "a", "1", Options{})
	removed := make(chan bool, 1)
	go func() { removed <- remove() }()
	redistest.Receive(t, told)

	if c.Has("a") || len(taken(c, "a")) > 0 {
		t.Error("the removed hook is there")
	}
	hold(t, c, "b", "1") // another session does not wait
	noted, registered := make(chan struct{}), make(chan error, 1)
	go func() {
		_, _, err := c.Register("a", "2", Options{}, func() ([]byte, error) {
			close(noted)
			return nil, nil
		})
		registered <- err
	}()
	select {
	case <-noted:
		t.Error("Redis is told of a registration before it has forgotten the session")
	default:
	}
	close(answer)
	if !redistest.Receive(t, removed) {
		t.Error("not removed")
	}
	if err := redistest.Receive(t, registered); err != nil {
		t.Error(err)
	}
	if got := taken(c, "a"); !slices.Equal(got, []string{"2"}) {
		t.Errorf("took %v", got)
	}
}

// Close while Redis is told to forget a session: the registration that waits is refused.
func TestCloseDuringUnwatch(t *testing.T) {
	t.Parallel()
	told, answer := make(chan struct{}), make(chan struct{})
	c := &Closures[string]{Unwatch: func(string) {
		close(told)
		<-answer
	}}
	remove := register(t, c, "a", "1", Options{})
	removed, registered := make(chan bool, 1), make(chan error, 1)
	go func() { removed <- remove() }()
	redistest.Receive(t, told)
	go func() {
		_, _, err := c.Register("a", "2", Options{}, returns("", nil))
		registered <- err
	}()
	if left := c.Close(); len(left) > 0 {
		t.Errorf("left %+v", left)
	}
	close(answer)
	if err := redistest.Receive(t, registered); !redistest.Receive(t, removed) || !errors.Is(err, ErrClosed) {
		t.Errorf("registered: %v", err)
	}
}

// Whatever happens at the same time, each hook is taken once, or taken back once. What Redis
// was told last is what is true: it knows of the session if and only if a hook is held.
func TestRacesOfRegistrationsRemovesAndEnds(t *testing.T) {
	t.Parallel()
	for _, end := range []bool{false, true} {
		var mu sync.Mutex
		known, fates := false, map[string]int{}
		var c Closures[string]
		set := func(v bool) {
			mu.Lock()
			defer mu.Unlock()
			known = v
		}
		count := func(hooks ...string) {
			mu.Lock()
			defer mu.Unlock()
			for _, h := range hooks {
				fates[h]++
			}
		}
		c.Unwatch = func(string) { set(false) }
		const workers, rounds = 8, 200
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := range rounds {
					hook := fmt.Sprint(w, "/", i)
					remove, ended, err := c.Register("a", hook, Options{}, func() ([]byte, error) {
						set(true)
						return nil, nil
					})
					if err != nil {
						t.Error(err)
						return
					}
					if ended != nil {
						count(taken(&c, "a")...)
					}
					if end && i%10 == 0 {
						count(taken(&c, "a")...)
					}
					if w > 0 && remove() {
						count(hook)
					}
					if w == 0 && i < rounds-1 && remove() { // the last one stays
						count(hook)
					}
				}
			})
		}
		wg.Wait()
		if has := c.Has("a"); !end && (!has || !known || c.Count() != 1) {
			t.Errorf("has it: %v, Redis knows it: %v, %d hooks", has, known, c.Count())
		}
		count(taken(&c, "a")...)
		if len(fates) != workers*rounds {
			t.Errorf("ends %v: %d hooks of %d were taken or removed", end, len(fates), workers*rounds)
		}
		for hook, n := range fates {
			if n != 1 {
				t.Errorf("ends %v: %s was taken or removed %d times", end, hook, n)
			}
		}
	}
}
