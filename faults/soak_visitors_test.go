package faults

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// visitors begins sessions at a constant rate.
func (s *soak) visitors(r *rand.Rand) {
	var lives sync.WaitGroup
	defer lives.Wait()
	const step = 10 * time.Millisecond
	pace := time.NewTicker(step)
	defer pace.Stop()
	begun, from := 0, time.Now()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-pace.C:
		}
		due := int(time.Since(from).Seconds() * float64(*soakRate))
		for ; begun < due; begun++ {
			l := drawLife(r)
			if s.inFlight.Load() >= 2000 {
				continue // Redis or an instance is away, and too many visitors wait already
			}
			if l.row != 0 {
				s.hooks[l.row]++
			}
			s.inFlight.Add(1)
			lives.Go(func() {
				defer s.inFlight.Add(-1)
				s.live(l)
			})
		}
	}
}

// life is everything that one visitor does.
type life struct {
	row   int // of the fault of the session's hooks; 0 for none
	slot  int // where the first page is requested
	first string
	steps []lifeStep
}

// lifeStep is a further request, after a pause.
type lifeStep struct {
	after time.Duration
	slot  int
	path  string
}

// drawLife draws what a visitor does.
func drawLife(r *rand.Rand) life {
	l := life{slot: r.IntN(3), first: "/"}
	n := strconv.Itoa(1 + r.IntN(3))
	switch k := r.IntN(1000); {
	case k < 30:
		l.row, l.first = 19, "/?do=error&n="+n
	case k < 50:
		l.row, l.first = 19, "/?do=panic&n="+n
	case k < 52:
		l.row, l.first = 20, "/?do=hang&n=1&ms=1500"
	case k < 54:
		l.row, l.first = 21, "/?do=api&n=1"
	case k < 100:
		l.first = "/?do=slow&n=9"
	}
	if r.IntN(10) < 6 {
		return l // the visitor does not come back
	}
	for i := range 1 + r.IntN(3) {
		step := lifeStep{after: between(r, 20*time.Millisecond, 700*time.Millisecond), slot: r.IntN(3)}
		step.path = []string{"/", "/save?step=" + strconv.Itoa(i), "/hold?n=" + strconv.Itoa(i), "/rotate"}[r.IntN(4)]
		l.steps = append(l.steps, step)
	}
	if r.IntN(3) == 0 {
		l.steps = append(l.steps, lifeStep{after: 10 * time.Millisecond, slot: r.IntN(3), path: "/destroy"})
	}
	return l
}

// live does what was drawn for one visitor.
func (s *soak) live(l life) {
	v := s.newVisitor()
	s.request(v, l.slot, l.first)
	for _, step := range l.steps {
		if !s.wait(step.after) {
			return
		}
		s.request(v, step.slot, step.path)
	}
}

// request requests a page from the instance in a slot, and from the next one if that does
// not respond, as a load balancer would.
func (s *soak) request(v *visitor, slot int, path string) {
	for i := range s.slots {
		p := s.slots[(slot+i)%len(s.slots)].process()
		if p == nil {
			continue
		}
		s.visits.Add(1)
		status, _ := v.visit(p, path)
		if status == http.StatusOK {
			s.publish(v.id)
			return
		}
		s.failed.Add(1)
		if status != 0 {
			return // the instance responded with an error
		}
	}
}

// publish makes a session's ID public, as a log or an administrator's page might.
func (s *soak) publish(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.public = append(s.public, id)
	if len(s.public) > 256 {
		s.public = s.public[1:]
	}
}

// someone returns a public ID of a visitor's session, "" if there is none yet.
func (s *soak) someone(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.public) == 0 {
		return ""
	}
	return s.public[n%len(s.public)]
}
