package faults

import (
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/gin-lifecycle/lifecycle"
)

// What becomes of instances and of Redis.

func (m *model) doStart(t *rapid.T) {
	if len(m.instances) == modelSlots {
		t.Skip("all are there")
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
	// Nobody may be there when the next one ends.
	if live := m.live(); len(live) > 0 && rapid.Bool().Draw(t, "then an end") {
		m.expire(m.session(t))
	}
}

// kill ends an instance as the end of its process would. Leases of the claims
// that it held lapse.
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

func (m *model) doShutdown(t *rapid.T) { m.shutdown(m.instance(t)) }

func (m *model) shutdown(i *modelInstance) {
	m.holds(i, func(_ *modelSession, h *modelHold) { h.shut = true })
	i.shutdown()
	m.remove(i)
	m.holds(i, func(s *modelSession, h *modelHold) {
		if len(h.runs) != 1 && !h.refused {
			m.t.Fatalf("session %s: by the end of the shutdown of %s a handler's hook ran %d times", s.id, i.name, len(h.runs))
		}
		m.checkHold(m.t, s, h)
		h.done = true
	})
}

func (m *model) remove(i *modelInstance) {
	m.instances = slices.DeleteFunc(m.instances, func(other *modelInstance) bool { return other == i })
}

// holds calls f for what handlers on an instance have registered.
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

// doDeafen cuts the subscriptions, and ends a session before they are back.
func (m *model) doDeafen(t *rapid.T) {
	s, i := m.session(t), m.instance(t)
	m.deafen()
	m.destroy(i, s, "unheard")
}

// deafen cuts all subscriptions; they come back by themselves.
func (m *model) deafen() {
	m.must(m.rdb.ClientKillByFilter(m.ctx, "TYPE", "pubsub").Err())
}

// doMute lets the messages of instances get lost from now on, or no longer.
func (m *model) doMute(t *rapid.T) {
	m.instance(t)
	if m.muted.Load() {
		m.unmute()
	} else {
		m.muted.Store(true)
	}
}

// unmute ends the loss of messages. Instances that have missed some find out when
// they subscribe anew.
func (m *model) unmute() {
	if m.muted.Swap(false) {
		m.deafen()
	}
}

// doFlush empties Redis.
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

func (m *model) doSettle(t *rapid.T) {
	m.instance(t)
	m.settle(t)
}
