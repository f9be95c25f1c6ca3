package faults

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// How the library and Redis are compared with the model.

// check compares what must be true after each step.
func (m *model) check(t *rapid.T) {
	m.checkHooks(t)
	live := m.live()
	keys, err := m.rdb.Keys(m.ctx, modelPrefix+":{*}:live:*").Result()
	m.must(err)
	if len(keys) != len(live) {
		t.Fatalf("%d live keys, want %d: %v", len(keys), len(live), keys)
	}
	if len(m.instances) == 0 {
		return
	}
	m.checks++
	i := m.instances[m.checks%len(m.instances)]
	found := make(map[string]*lifecycle.Session)
	for s, err := range i.manager.All(m.ctx) {
		m.must(err)
		if found[s.ID] != nil {
			t.Fatalf("session %s is listed twice", s.ID)
		}
		found[s.ID] = s
	}
	for _, s := range live {
		if listed := found[s.id]; listed == nil || !maps.Equal(listed.Values(), s.values) {
			t.Fatalf("session %s has %v and is listed as %+v", s.id, s.values, listed)
		}
	}
	if len(found) != len(live) {
		t.Fatalf("%d sessions are listed, want %d", len(found), len(live))
	}
	if len(m.sessions) == 0 {
		return
	}
	s := m.sessions[m.checks%len(m.sessions)]
	got, err := i.manager.Get(m.ctx, s.id)
	if s.ended != errors.Is(err, lifecycle.ErrSessionEnded) || !s.ended && (err != nil || !maps.Equal(got.Values(), s.values)) {
		t.Fatalf("session %s, ended: %v, %v: %+v, %v", s.id, s.ended, s.values, got, err)
	}
}

// checkHooks compares the hooks that have run with those that may have run.
func (m *model) checkHooks(t *rapid.T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.created) != len(m.sessions) {
		t.Fatalf("created hooks ran for %d sessions, want %d", len(m.created), len(m.sessions))
	}
	known := 0
	for _, s := range m.sessions {
		runs := m.destroyed[s.id]
		if len(runs) > 0 {
			known++
		}
		switch {
		case m.created[s.id] != 1:
			t.Fatalf("session %s: the created hook ran %d times", s.id, m.created[s.id])
		case !s.ended && len(runs) > 0:
			t.Fatalf("live session %s: destroyed hook: %v", s.id, runs)
		case s.settled && len(runs) != s.runs:
			t.Fatalf("session %s: destroyed hook after the end was handled: %v", s.id, runs)
		case !s.crashed && len(runs) > 1+s.fails:
			t.Fatalf("session %s: the destroyed hook ran %d times: %v", s.id, len(runs), runs)
		}
		for n, r := range runs {
			if r.early || r.reason != s.reason || !maps.Equal(r.values, s.values) {
				t.Fatalf("session %s: destroyed hook: %v, created before: %v; want %q, %v", s.id, r, !r.early, s.reason, s.values)
			}
			if n > 0 && r.attempt <= runs[n-1].attempt || !s.crashed && r.attempt != n+1 {
				t.Fatalf("session %s: attempts: %v", s.id, runs)
			}
		}
		for _, h := range s.holds {
			m.checkHold(t, s, h)
		}
	}
	if known != len(m.destroyed) {
		t.Fatalf("destroyed hooks ran for %d sessions, %d of them known", len(m.destroyed), known)
	}
}

// checkHold compares the runs of one closure with those that it may have had. The
// caller holds mu.
func (m *model) checkHold(t *rapid.T, s *modelSession, h *modelHold) {
	if len(h.runs) > 1 || (h.refused || h.gone) && len(h.runs) > 0 {
		t.Fatalf("session %s: a closure, refused: %v, taken back or replaced: %v, ran: %v", s.id, h.refused, h.gone, h.runs)
	}
	if h.done {
		return
	}
	want := s.values
	if s.flushed {
		want = h.known
	}
	for _, r := range h.runs {
		right := s.ended && r.reason == s.reason || h.shut && !h.stays && r.reason == lifecycle.ReasonShutdown
		if !right || r.early || !maps.Equal(r.values, want) {
			t.Fatalf("session %s: a closure: %v; ended: %v, %q, %v", s.id, r, s.ended, s.reason, want)
		}
	}
}

// settle waits until all hooks have run that should have. If no instance runs, none can. While
// messages are lost, closures may be late, and settle does not wait for them.
func (m *model) settle(t *rapid.T) {
	if len(m.instances) == 0 {
		return
	}
	for _, s := range m.sessions {
		if !s.ended || s.settled {
			continue
		}
		if !s.flushed {
			m.eventually("the end of session "+s.id+" is handled: "+string(s.reason), func() bool { return m.acked(s) })
			m.mu.Lock()
			s.runs = len(m.destroyed[s.id])
			m.mu.Unlock()
			if s.runs == 0 || !s.crashed && s.runs != 1+s.fails {
				t.Fatalf("session %s: its end is handled after %d runs of the destroyed hook", s.id, s.runs)
			}
		}
		s.settled = true
	}
	for _, s := range m.sessions {
		for _, h := range s.holds {
			if s.ended && !h.killed && !h.refused && !h.gone && !h.done && !m.muted.Load() {
				m.eventually("a hook of session "+s.id+" on "+h.instance.name+" runs", func() bool {
					m.mu.Lock()
					defer m.mu.Unlock()
					return len(h.runs) > 0
				})
			}
		}
	}
	m.checkHooks(t)
}

// acked reports whether the session's end was acked: its due entry is gone.
func (m *model) acked(s *modelSession) bool {
	err := m.rdb.ZScore(m.ctx, s.bucket+"due", s.id).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		m.must(err)
	}
	return err != nil
}

// due moves the session's due entry to now, as if time had passed.
func (m *model) due(s *modelSession) {
	now, err := m.rdb.Time(m.ctx).Result()
	m.must(err)
	m.must(m.rdb.ZAddXX(m.ctx, s.bucket+"due", redis.Z{Member: s.id, Score: float64(now.UnixMilli())}).Err())
}

// finish ends all sessions and instances, and checks what is left in Redis.
func (m *model) finish() {
	t := m.t
	m.unmute()
	if len(m.instances) == 0 {
		m.instances = append(m.instances, m.startInstance())
	}
	m.settle(t)
	for len(m.instances) > 1 {
		m.shutdown(m.instances[0])
	}
	for _, s := range m.live() {
		m.expire(s)
	}
	m.settle(t)
	m.shutdown(m.instances[0])
	m.check(t)
	// A tombstone goes once every instance that holds hooks of the session has read it. If one of
	// them was killed, the tombstone stays for ten minutes.
	keys, err := m.rdb.Keys(m.ctx, "*").Result()
	m.must(err)
	for _, key := range redistest.ExceptPast(m.ctx, m.rdb, keys) {
		if key == modelPrefix+":buckets" || key == modelPrefix+":instances" {
			continue
		}
		left, err := m.rdb.PTTL(m.ctx, key).Result()
		m.must(err)
		tomb := slices.ContainsFunc(m.sessions, func(s *modelSession) bool {
			return strings.HasSuffix(key, ":"+s.id) && slices.ContainsFunc(s.holds, func(h *modelHold) bool { return h.killed || s.crashed })
		})
		if !tomb || left <= 0 || left > 10*time.Minute {
			t.Fatalf("left in Redis: %s, for %v", key, left)
		}
	}
	m.finished = true
}
