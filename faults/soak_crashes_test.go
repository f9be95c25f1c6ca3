package faults

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

// crashes kill an instance at a failpoint, or at any moment.
func (s *soak) crashes(r *rand.Rand) {
	at := func(point string) func(*rand.Rand) act {
		return func(r *rand.Rand) act {
			slot, skew := r.IntN(2), []time.Duration{0, 0, 5 * time.Minute, -5 * time.Minute}[r.IntN(4)]
			return func(s *soak) bool { return s.crash(s.slots[slot], point, skew) }
		}
	}
	s.lane(r, []fault{
		{1, 3, at("after:claim")},
		{2, 3, at("before:ack")},
		{3, 2, at("before:create")},
		{3, 2, at("after:create")},
		{1, 1, at("")},
	}, 300*time.Millisecond, 1500*time.Millisecond)
}

// crash kills a slot's instance, and reports whether the instance was at the failpoint then.
func (s *soak) crash(sl *slot, point string, skew time.Duration) (there bool) {
	if !sl.busy.TryLock() { // its instance is frozen; the one in slot 0 never is
		sl = s.slots[0]
		sl.busy.Lock()
	}
	defer sl.busy.Unlock()
	p := sl.process()
	there = p != nil && (point == "" || s.reaches(p, point))
	sl.replace(skew)
	return there
}

// reaches arms a failpoint of an instance, and reports whether the instance stops there soon.
func (s *soak) reaches(p *process, point string) bool {
	if p.tryAsk("arm", "point", point) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	status, _, err := s.get(ctx, "http://"+p.addr+"/-/reached", nil)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		s.t.Errorf("%s: %v", p.name, err)
	}
	return err == nil && status == http.StatusOK
}

// zombies freeze an instance, now and then for longer than its leases last.
func (s *soak) zombies(r *rand.Rand) {
	freeze := func(least, most time.Duration) func(*rand.Rand) act {
		return func(r *rand.Rand) act {
			slot, d := 1+r.IntN(2), between(r, least, most)
			return func(s *soak) bool {
				sl := s.slots[slot]
				sl.busy.Lock()
				defer sl.busy.Unlock()
				p := sl.process()
				if p == nil {
					return false
				}
				p.freeze()
				s.wait(d)
				p.thaw()
				return true
			}
		}
	}
	s.lane(r, []fault{
		{4, 3, freeze(200*time.Millisecond, 3*time.Second)},
		{4, 1, freeze(s.setup.Lease+500*time.Millisecond, s.setup.Lease+2*time.Second)},
	}, time.Second, 4*time.Second)
}
