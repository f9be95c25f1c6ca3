package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// fault is one kind of what a lane does.
type fault struct {
	row    int
	weight int
	draw   func(r *rand.Rand) act
}

// act does what was drawn. It gets no source of chance, so that what is drawn next
// does not depend on what it finds. It reports whether the fault came to pass.
type act func(s *soak) bool

// always is the act of a fault that comes to pass whatever it finds.
func always(do func(s *soak)) act { return func(s *soak) bool { do(s); return true } }

// drawing nothing.
func fixed(do func(s *soak)) func(*rand.Rand) act {
	return func(*rand.Rand) act { return always(do) }
}

func (f fault) times() int { return f.weight }

// deck returns each card as often as it weighs, shuffled: what is drawn from it
// until it is empty leaves none out.
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
		note := "did not come to pass"
		if act(s) {
			note = ""
			s.count(f.row)
		}
		s.record(fmt.Sprintf("%s to %s: row %d %s", clock(began), clock(time.Now()), f.row, note))
	}
}

// down runs what stops Redis and lets it go on again.
func down(do func(s *soak)) act {
	return always(func(s *soak) {
		s.running.Lock()
		defer s.running.Unlock()
		do(s)
	})
}

// outages are faults during which an instance, or all of them, cannot renew a
// lease. Each ends well within what is left of one, and between two of them leases
// are renewed: what an outage longer than that does is row 4.
func (s *soak) outages(r *rand.Rand) {
	s.lane(r, []fault{
		{5, 3, func(*rand.Rand) act {
			return down(func(s *soak) {
				s.redis.Kill()
				s.redis.Restart(s.t)
			})
		}},
		{6, 1, func(*rand.Rand) act {
			return down(func(s *soak) { // longer than the idle timeout
				s.redis.Kill()
				s.wait(s.setup.Idle + 500*time.Millisecond)
				s.redis.Restart(s.t)
			})
		}},
		{8, 2, func(r *rand.Rand) act {
			d := between(r, 200*time.Millisecond, 2500*time.Millisecond)
			return down(func(s *soak) {
				s.redo("client", "pause", d.Milliseconds(), "all")
				_ = poll(patience, func() bool { return s.rdb.Ping(context.Background()).Err() == nil })
			})
		}},
		{16, 2, func(r *rand.Rand) act {
			d := between(r, 200*time.Millisecond, 2*time.Second)
			return down(func(s *soak) {
				s.redis.Pause()
				s.wait(d)
				s.redis.Resume()
			})
		}},
		{16, 6, func(r *rand.Rand) act {
			toxic := []toxic{slow, silent, deaf, reset, sliced}[r.IntN(5)]
			return poisoned(r.IntN(3), toxic, between(r, 300*time.Millisecond, 2*time.Second))
		}},
		{17, 3, func(r *rand.Rand) act {
			cut := replyCut
			cut.Attributes = map[string]any{"bytes": r.IntN(20_000)}
			return poisoned(r.IntN(3), cut, between(r, 100*time.Millisecond, time.Second))
		}},
		{24, 2, func(r *rand.Rand) act {
			d := between(r, 200*time.Millisecond, 1500*time.Millisecond)
			return always(func(s *soak) {
				restore := s.configure("maxmemory", "1")
				s.wait(d)
				restore()
			})
		}},
		{24, 1, func(r *rand.Rand) act {
			d := between(r, 200*time.Millisecond, 1500*time.Millisecond)
			return always(func(s *soak) {
				s.redo("replicaof", "127.0.0.1", strconv.Itoa(redistest.FreePort(s.t)))
				s.wait(d)
				s.redo("replicaof", "no", "one")
			})
		}},
		{23, 1, fixed(func(s *soak) {
			s.known.evicting(func() {
				policy := s.configure("maxmemory-policy", "volatile-lru")
				memory := s.configure("maxmemory", "1")
				s.wait(200 * time.Millisecond)
				memory()
				policy()
				// An end that nobody was told of is found when it was due.
				s.wait(s.setup.Idle)
			})
		})},
	}, s.setup.Lease*4/10, s.setup.Lease*5/10)
}

// poisoned spoils the network of a slot for a while.
func poisoned(slot int, x toxic, d time.Duration) act {
	return always(func(s *soak) {
		sl := s.slots[slot]
		sl.proxy.poison(x)
		s.wait(d)
		sl.proxy.heal()
	})
}

// annoyances keep nobody from Redis.
func (s *soak) annoyances(r *rand.Rand) {
	s.lane(r, []fault{
		{7, 4, fixed(func(s *soak) {
			for range 5 {
				s.redo("client", "kill", "type", "pubsub")
				s.wait(100 * time.Millisecond)
			}
		})},
		{9, 2, func(r *rand.Rand) act {
			d := between(r, 100*time.Millisecond, time.Second)
			return always(func(s *soak) {
				restore := s.configure("notify-keyspace-events", "")
				s.wait(d)
				restore()
			})
		}},
		{10, 2, func(r *rand.Rand) act {
			d := between(r, 100*time.Millisecond, time.Second)
			return always(func(s *soak) {
				s.redo("debug", "set-active-expire", "0")
				s.wait(d)
				s.redo("debug", "set-active-expire", "1")
			})
		}},
		{11, 4, fixed(func(s *soak) {
			for range 5 {
				s.redo("script", "flush")
				s.wait(100 * time.Millisecond)
			}
		})},
		{12, 1, fixed(func(s *soak) { s.flush() })},
		{22, 2, fixed(func(s *soak) {
			s.redo("script", "load", scriptSource("create"))
			// Refused by a Redis that is away; those that began will end.
			_, _ = s.burst(s.rdb, 500, time.Now().Add(1500*time.Millisecond))
		})},
		{25, 4, func(r *rand.Rand) act {
			first := r.IntN(3)
			return func(s *soak) bool { return s.forge(first) }
		}},
	}, 200*time.Millisecond, 1500*time.Millisecond)
}

// forge publishes an event of every live key, and reports whether there was one.
func (s *soak) forge(first int) bool {
	live, err := s.rdb.Keys(context.Background(), s.setup.Prefix+":{*}:live:*").Result()
	if err != nil || len(live) == 0 {
		return false
	}
	events := []string{"expired", "evicted", "del"}
	pipe := s.rdb.Pipeline()
	for i, key := range live {
		pipe.Publish(context.Background(), "__keyevent@0__:"+events[(first+i)%len(events)], key)
	}
	_, err = pipe.Exec(context.Background())
	return err == nil
}

// redo sends a command until Redis, which may be away by another lane's doing,
// has taken it.
func (s *soak) redo(args ...any) {
	if err := poll(patience, func() bool { return s.rdb.Do(context.Background(), args...).Err() == nil }); err != nil {
		s.t.Errorf("%v: %v", args, err)
	}
}

// crashes kill an instance at a point of its work, or at any moment.
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

// crash kills a slot's instance and reports whether it was at point.
func (s *soak) crash(sl *slot, point string, skew time.Duration) (there bool) {
	if !sl.busy.TryLock() { // frozen
		sl = s.slots[0]
		sl.busy.Lock()
	}
	defer sl.busy.Unlock()
	p := sl.process()
	there = p != nil && (point == "" || s.reaches(p, point))
	sl.replace(skew)
	return there
}

// reaches lets an instance run into a failpoint, if it does so soon.
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

// zombies freeze an instance, now and then for longer than its leases.
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
