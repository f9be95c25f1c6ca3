package faults

import (
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/gin-lifecycle/lifecycle"
)

// Actions: what happens to instances and to Redis.

// doStart starts an instance.
func (m *model) doStart(t *rapid.T) {
	if len(m.instances) == modelSlots {
		t.Skip("all instances run")
	}
	m.instances = append(m.instances, m.startInstance())
}

// doKill kills an instance, perhaps while it runs the hooks of an end.
func (m *model) doKill(t *rapid.T) {
	i := m.instance(t)
	if live := m.live(); len(live) > 0 && rapid.Bool().Draw(t, "in a hook") {
		s := m.session(t)
		b := m.barrier(s.id, 1)
		m.destroy(i, s, "by the killed")
		b.wait(m, "the hooks of "+s.id+" run")
	}
	m.kill(i)
	// Perhaps no instance is left when the next session ends.
	if live := m.live(); len(live) > 0 && rapid.Bool().Draw(t, "then an end") {
		m.expire(m.session(t))
	}
}

// kill ends an instance as a crash of its process would. The leases of its claims are over.
func (m *model) kill(i *modelInstance) {
	i.kill()
	m.remove(i)
	m.holds(i, func(_ *modelSession, h *modelHold) { h.killed = true })
	for _, s := range m.sessions {
		if !s.ended || s.settled {
			continue
		}
		by, err := m.rdb.HGet(m.ctx, s.bucket+"end:"+s.id, "by").Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			m.must(err)
		}
		if strings.HasPrefix(by, i.id+":") {
			s.crashed = true
			m.due(s)
		}
	}
}

// doShutdown shuts an instance down.
func (m *model) doShutdown(t *rapid.T) { m.shutdown(m.instance(t)) }

// shutdown shuts an instance down and checks that its closures have run.
func (m *model) shutdown(i *modelInstance) {
	m.holds(i, func(_ *modelSession, h *modelHold) { h.shut = true })
	i.shutdown()
	m.remove(i)
	m.holds(i, func(s *modelSession, h *modelHold) {
		// If the session has ended, one that stays may have run before the shutdown, or not.
		if len(h.runs) != 1 && !h.refused && !h.gone && !h.stays || len(h.runs) > 0 && h.stays && !s.ended {
			m.t.Fatalf("session %s: after the shutdown of %s a closure had run %d times", s.id, i.name, len(h.runs))
		}
		m.checkHold(m.t, s, h)
		h.done = true
	})
}

// remove removes an instance from those that run.
func (m *model) remove(i *modelInstance) {
	m.instances = slices.DeleteFunc(m.instances, func(other *modelInstance) bool { return other == i })
}

// holds calls f with each hook that handlers on an instance have registered.
func (m *model) holds(i *modelInstance, f func(*modelSession, *modelHold)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		for _, h := range s.holds {
			if h.instance == i {
				f(s, h)
			}
		}
	}
}

// doDeafen cuts the subscriptions, and ends a session before the instances subscribe again.
func (m *model) doDeafen(t *rapid.T) {
	s, i := m.session(t), m.instance(t)
	m.deafen()
	m.destroy(i, s, "unheard")
}

// deafen cuts all subscriptions. The instances subscribe again by themselves.
func (m *model) deafen() {
	m.must(m.rdb.ClientKillByFilter(m.ctx, "TYPE", "pubsub").Err())
}

// doMute loses the messages of instances from now on, or stops losing them.
func (m *model) doMute(t *rapid.T) {
	m.instance(t)
	if m.muted.Load() {
		m.unmute()
	} else {
		m.muted.Store(true)
	}
}

// unmute stops losing messages. Instances that have missed some find that out when they
// subscribe again.
func (m *model) unmute() {
	if m.muted.Swap(false) {
		m.deafen()
	}
}

// doFlush deletes everything in Redis.
func (m *model) doFlush(t *rapid.T) {
	m.instance(t)
	m.unmute()
	m.settle(t)
	for _, s := range m.live() {
		m.end(s, lifecycle.ReasonLost)
		s.flushed = true
	}
	m.must(m.rdb.FlushAll(m.ctx).Err())
	m.settle(t)
}

// doSettle waits until all ends are handled.
func (m *model) doSettle(t *rapid.T) {
	m.instance(t)
	m.settle(t)
}
