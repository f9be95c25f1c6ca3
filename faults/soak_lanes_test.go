package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A lane lets faults of some kinds happen, one after the other. Several lanes are at work
// at the same time.

// fault is one kind of fault.
type fault struct {
	row    int // of the matrix
	weight int // how often the fault is drawn, relative to the others of its lane
	draw   func(r *rand.Rand) act
}

// act lets a drawn fault happen, and reports whether it did. It gets no source of chance:
// what is drawn next must not depend on what an act finds.
type act func(s *soak) bool

// always is an act that lets the fault happen in any case.
func always(do func(s *soak)) act { return func(s *soak) bool { do(s); return true } }

// fixed draws nothing: the fault is the same every time.
func fixed(do func(s *soak)) func(*rand.Rand) act {
	return func(*rand.Rand) act { return always(do) }
}

func (f fault) times() int { return f.weight }

// deck returns each card as often as its weight says, shuffled. A lane draws from a deck
// until it is empty: so no card is left out for long.
func deck[C interface{ times() int }](r *rand.Rand, from []C) []C {
	var cards []C
	for _, f := range from {
		for range f.times() {
			cards = append(cards, f)
		}
	}
	r.Shuffle(len(cards), func(i, j int) { cards[i], cards[j] = cards[j], cards[i] })
	return cards
}

// lane lets faults happen until the soak's context ends, with pauses between least and
// most.
func (s *soak) lane(r *rand.Rand, from []fault, least, most time.Duration) {
	var cards []fault
	for s.wait(between(r, least, most)) {
		if len(cards) == 0 {
			cards = deck(r, from)
		}
		f := cards[0]
		cards = cards[1:]
		act := f.draw(r)
		began := time.Now()
		note := "did not happen"
		if act(s) {
			note = ""
			s.count(f.row)
		}
		s.record(fmt.Sprintf("%s to %s: row %d %s", clock(began), clock(time.Now()), f.row, note))
	}
}

// count counts a fault that happened.
func (s *soak) count(row int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[row]++
}

// record adds a line to the list of faults.
func (s *soak) record(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past = append(s.past, text)
}

// between draws a duration.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}

// down is an act that stops Redis and lets it go on again.
func down(do func(s *soak)) act {
	return always(func(s *soak) {
		s.running.Lock()
		defer s.running.Unlock()
		do(s)
	})
}

// poisoned is an act that breaks the network of one slot for a while.
func poisoned(slot int, x toxic, d time.Duration) act {
	return always(func(s *soak) {
		sl := s.slots[slot]
		sl.proxy.poison(x)
		s.wait(d)
		sl.proxy.heal()
	})
}

// changed is an act that makes a change and takes it back after a while.
func changed(d time.Duration, change func(s *soak) (restore func())) act {
	return always(func(s *soak) {
		restore := change(s)
		s.wait(d)
		restore()
	})
}

// setting is a change of a setting of Redis.
func setting(name, value string) func(s *soak) (restore func()) {
	return func(s *soak) func() { return s.configure(name, value) }
}

// repeated is an act that sends a command five times within half a second.
func repeated(args ...any) act {
	return always(func(s *soak) {
		for range 5 {
			s.redo(args...)
			s.wait(100 * time.Millisecond)
		}
	})
}

// redo sends a command to Redis until Redis has executed it. Another lane may have stopped
// Redis.
func (s *soak) redo(args ...any) {
	if err := redistest.Poll(patience, func() bool { return s.rdb.Do(context.Background(), args...).Err() == nil }); err != nil {
		s.t.Errorf("%v: %v", args, err)
	}
}
