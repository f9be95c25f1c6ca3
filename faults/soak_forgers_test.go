package faults

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// forgers is how many forgers there are.
const forgers = 3

// forger lets one forger play tricks until the soak's context ends.
func (s *soak) forger(n int, r *rand.Rand) {
	f := &forger{soak: s, name: fmt.Sprintf("f%d-", n), admin: s.newVisitor()}
	for i := range f.own {
		f.own[i] = s.newVisitor()
	}
	var cards []trick
	for s.wait(between(r, 20*time.Millisecond, 120*time.Millisecond)) {
		if len(cards) == 0 {
			cards = deck(r, tricks)
		}
		x := cards[0]
		cards = cards[1:]
		x.draw(r)(f)
	}
}

// tried counts a forged request.
func (s *soak) tried(trick string, a response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgeries[trick]++
	if a.status != 0 && a.status != http.StatusServiceUnavailable {
		s.answered[trick]++
	}
}
