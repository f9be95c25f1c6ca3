package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// fault is one kind of what a lane does.
type fault struct {
	row    int
	weight int
	do     func(s *soak, r *rand.Rand)
}

func draw(r *rand.Rand, from []fault) fault {
	sum := 0
	for _, f := range from {
		sum += f.weight
	}
	k := r.IntN(sum)
	for _, f := range from {
		if k -= f.weight; k < 0 {
			return f
		}
	}
	panic("unreachable")
}

func (s *soak) lane(r *rand.Rand, from []fault, least, most time.Duration) {
	for s.wait(between(r, least, most)) {
		f := draw(r, from)
		began := time.Now()
		f.do(s, r)
		s.count(f.row)
		s.record(fmt.Sprintf("%s to %s: row %d", clock(began), clock(time.Now()), f.row))
	}
}

// outages are faults during which an instance, or all of them, cannot renew a
// lease. Each ends well within what is left of one, and between two of them leases
// are renewed: what an outage longer than that does is row 4.
func (s *soak) outages(r *rand.Rand) {
	s.lane(r, []fault{
		{5, 3, func(s *soak, _ *rand.Rand) {
			s.redis.Kill()
			s.redis.Restart(s.t)
		}},
		{6, 1, func(s *soak, _ *rand.Rand) { // longer than the idle timeout
			s.redis.Kill()
			s.wait(s.setup.Idle + 500*time.Millisecond)
			s.redis.Restart(s.t)
		}},
		{8, 2, func(s *soak, r *rand.Rand) {
			d := between(r, 200*time.Millisecond, 2500*time.Millisecond)
			s.redo("client", "pause", d.Milliseconds(), "all")
			_ = poll(patience, func() bool { return s.rdb.Ping(context.Background()).Err() == nil })
		}},
		{16, 2, func(s *soak, r *rand.Rand) {
			s.redis.Pause()
			s.wait(between(r, 200*time.Millisecond, 2*time.Second))
			s.redis.Resume()
		}},
		{16, 6, func(s *soak, r *rand.Rand) {
			sl := s.slots[r.IntN(len(s.slots))]
			sl.proxy.poison([]toxic{slow, silent, deaf, reset, sliced}[r.IntN(5)])
			s.wait(between(r, 300*time.Millisecond, 2*time.Second))
			sl.proxy.heal()
		}},
		{17, 3, func(s *soak, r *rand.Rand) {
			sl := s.slots[r.IntN(len(s.slots))]
			cut := replyCut
			cut.Attributes = map[string]any{"bytes": r.IntN(20_000)}
			sl.proxy.poison(cut)
			s.wait(between(r, 100*time.Millisecond, time.Second))
			sl.proxy.heal()
		}},
		{24, 2, func(s *soak, r *rand.Rand) {
			restore := s.configure("maxmemory", "1")
			s.wait(between(r, 200*time.Millisecond, 1500*time.Millisecond))
			restore()
		}},
		{24, 1, func(s *soak, r *rand.Rand) {
			s.redo("replicaof", "127.0.0.1", strconv.Itoa(redistest.FreePort(s.t)))
			s.wait(between(r, 200*time.Millisecond, 1500*time.Millisecond))
			s.redo("replicaof", "no", "one")
		}},
		{23, 1, func(s *soak, _ *rand.Rand) {
			s.known.during(&s.known.evicted, func() {
				policy := s.configure("maxmemory-policy", "volatile-lru")
				memory := s.configure("maxmemory", "1")
				s.wait(200 * time.Millisecond)
				memory()
				policy()
				// An end that nobody was told of is found when it was due.
				s.wait(s.setup.Idle)
			})
		}},
	}, s.setup.Lease*4/10, s.setup.Lease*5/10)
}

// annoyances keep nobody from Redis.
func (s *soak) annoyances(r *rand.Rand) {
	s.lane(r, []fault{
		{7, 4, func(s *soak, _ *rand.Rand) {
			for range 5 {
				s.redo("client", "kill", "type", "pubsub")
				s.wait(100 * time.Millisecond)
			}
		}},
		{9, 2, func(s *soak, r *rand.Rand) {
			restore := s.configure("notify-keyspace-events", "")
			s.wait(between(r, 100*time.Millisecond, time.Second))
			restore()
		}},
		{10, 2, func(s *soak, r *rand.Rand) {
			s.redo("debug", "set-active-expire", "0")
			s.wait(between(r, 100*time.Millisecond, time.Second))
			s.redo("debug", "set-active-expire", "1")
		}},
		{11, 4, func(s *soak, _ *rand.Rand) {
			for range 5 {
				s.redo("script", "flush")
				s.wait(100 * time.Millisecond)
			}
		}},
		{12, 1, func(s *soak, _ *rand.Rand) {
			s.known.during(&s.known.flushed, func() { s.redo("flushall") })
		}},
		{22, 2, func(s *soak, _ *rand.Rand) {
			s.redo("script", "load", scriptSource("create"))
			// Refused by a Redis that is away; those that began will end.
			_ = s.burst(500, time.Now().Add(1500*time.Millisecond))
		}},
		{25, 4, func(s *soak, r *rand.Rand) {
			live, err := s.rdb.Keys(context.Background(), s.setup.Prefix+":{*}:live:*").Result()
			if err != nil {
				return
			}
			pipe := s.rdb.Pipeline()
			for _, key := range live {
				pipe.Publish(context.Background(), "__keyevent@0__:"+[]string{"expired", "evicted", "del"}[r.IntN(3)], key)
			}
			_, _ = pipe.Exec(context.Background())
		}},
	}, 200*time.Millisecond, 1500*time.Millisecond)
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
	at := func(point string) func(*soak, *rand.Rand) {
		return func(s *soak, r *rand.Rand) {
			s.crash(s.slots[r.IntN(2)], point, []time.Duration{0, 0, 5 * time.Minute, -5 * time.Minute}[r.IntN(4)])
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

func (s *soak) crash(sl *slot, point string, skew time.Duration) {
	if !sl.busy.TryLock() { // frozen
		sl = s.slots[0]
		sl.busy.Lock()
	}
	defer sl.busy.Unlock()
	if p := sl.process(); p != nil && point != "" {
		if p.tryAsk("arm", "point", point) == nil {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			_, _, err := s.get(ctx, "http://"+p.addr+"/-/reached", nil)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				s.t.Errorf("%v: %v", sl, err)
			}
		}
	}
	sl.replace(skew)
}

// zombies freeze an instance, now and then for longer than its leases.
func (s *soak) zombies(r *rand.Rand) {
	freeze := func(least, most time.Duration) func(*soak, *rand.Rand) {
		return func(s *soak, r *rand.Rand) {
			sl := s.slots[1+r.IntN(2)]
			sl.busy.Lock()
			defer sl.busy.Unlock()
			if p := sl.process(); p != nil {
				p.freeze()
				s.wait(between(r, least, most))
				p.thaw()
			}
		}
	}
	s.lane(r, []fault{
		{4, 3, freeze(200*time.Millisecond, 3*time.Second)},
		{4, 1, freeze(s.setup.Lease+500*time.Millisecond, s.setup.Lease+2*time.Second)},
	}, time.Second, 4*time.Second)
}
