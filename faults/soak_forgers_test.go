package faults

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// forgers is how many there are.
const forgers = 3

// forger lets one forger do what is drawn, all the time.
func (s *soak) forger(n int, r *rand.Rand) {
	f := &forger{soak: s, name: fmt.Sprintf("f%d-", n), admin: &visitor{f: s.fleet}}
	for i := range f.own {
		f.own[i] = &visitor{f: s.fleet}
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
func (s *soak) tried(name string, a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgeries[name]++
	if a.status != 0 && a.status != http.StatusServiceUnavailable {
		s.answered[name]++
	}
}

// publish notes a visitor's session, as a log or an administrator's page would.
func (s *soak) publish(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.public = append(s.public, id)
	if len(s.public) > 256 {
		s.public = s.public[1:]
	}
}

// someone returns a visitor's session, "" if there is none yet.
func (s *soak) someone(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.public) == 0 {
		return ""
	}
	return s.public[n%len(s.public)]
}

// watch looks at the live keys now and then.
func (s *soak) watch() {
	for s.wait(500 * time.Millisecond) {
		s.seen.sample(s.fleet)
	}
}
