package faults

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// outages keep one instance, or all of them, from renewing leases. Each outage ends well
// within the time that a lease has left, and between two of them leases are renewed. What a
// longer outage does is tested by row 4.
func (s *soak) outages(r *rand.Rand) {
	s.lane(r, []fault{
		{5, 3, func(*rand.Rand) act {
			return down(func(s *soak) {
				s.redis.Kill()
				s.redis.Restart(s.t)
			})
		}},
		{6, 1, func(*rand.Rand) act {
			return down(func(s *soak) { // for longer than the idle timeout
				s.redis.Kill()
				s.wait(s.setup.Idle + 500*time.Millisecond)
				s.redis.Restart(s.t)
			})
		}},
		{8, 2, func(r *rand.Rand) act {
			d := between(r, 200*time.Millisecond, 2500*time.Millisecond)
			return down(func(s *soak) {
				s.redo("client", "pause", d.Milliseconds(), "all")
				_ = redistest.Poll(patience, func() bool { return s.rdb.Ping(context.Background()).Err() == nil })
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
			return changed(between(r, 200*time.Millisecond, 1500*time.Millisecond), setting("maxmemory", "1"))
		}},
		{24, 1, func(r *rand.Rand) act {
			return changed(between(r, 200*time.Millisecond, 1500*time.Millisecond), func(s *soak) func() {
				s.redo("replicaof", "127.0.0.1", strconv.Itoa(redistest.FreePort(s.t)))
				return func() { s.redo("replicaof", "no", "one") }
			})
		}},
		{23, 1, fixed((*soak).evict)},
	}, s.setup.Lease*4/10, s.setup.Lease*5/10)
}

// evict makes Redis evict live keys.
func (s *soak) evict() {
	s.known.evicting(func() {
		policy := s.configure("maxmemory-policy", "volatile-lru")
		memory := s.configure("maxmemory", "1")
		s.wait(200 * time.Millisecond)
		memory()
		policy()
		// If the instances missed the event, they find the end when the session was due.
		s.wait(s.setup.Idle)
	})
}

// annoyances leave Redis within reach of all instances.
func (s *soak) annoyances(r *rand.Rand) {
	s.lane(r, []fault{
		{7, 4, func(*rand.Rand) act { return repeated("client", "kill", "type", "pubsub") }},
		{9, 2, func(r *rand.Rand) act {
			return changed(between(r, 100*time.Millisecond, time.Second), setting("notify-keyspace-events", ""))
		}},
		{10, 2, func(r *rand.Rand) act {
			return changed(between(r, 100*time.Millisecond, time.Second), func(s *soak) func() {
				s.redo("debug", "set-active-expire", "0")
				return func() { s.redo("debug", "set-active-expire", "1") }
			})
		}},
		{11, 4, func(*rand.Rand) act { return repeated("script", "flush") }},
		{12, 1, fixed(func(s *soak) { s.flush() })},
		{22, 2, fixed(func(s *soak) {
			s.redo("script", "load", scriptSource("create"))
			// If Redis is away, some sessions do not begin. Those that begin end.
			_, _ = s.seed(s.rdb, 500, time.Now().Add(1500*time.Millisecond))
		})},
		{25, 4, func(r *rand.Rand) act {
			first := r.IntN(3)
			return func(s *soak) bool { return s.forgeEvents(first) }
		}},
	}, 200*time.Millisecond, 1500*time.Millisecond)
}

// forgeEvents publishes an event of every live key, and reports whether there was one.
func (s *soak) forgeEvents(first int) bool {
	live, err := s.keyNames("{*}:" + liveKeys)
	if err != nil || len(live) == 0 {
		return false
	}
	pipe := s.rdb.Pipeline()
	for i, key := range live {
		pipe.Publish(context.Background(), eventChannel(keyEvents[(first+i)%len(keyEvents)]), key)
	}
	_, err = pipe.Exec(context.Background())
	return err == nil
}
