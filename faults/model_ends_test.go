package faults

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/membership"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Actions: how sessions end, and what looks like an end.

// end notes that a session has ended.
func (m *model) end(s *modelSession, reason lifecycle.Reason) {
	s.ended, s.reason = true, reason
}

// doExpire lets a session time out, whether an instance runs or not.
func (m *model) doExpire(t *rapid.T) { m.expire(m.session(t)) }

// expire lets a session time out.
func (m *model) expire(s *modelSession) {
	m.expireKey(s, m.liveKey(s.id))
}

// modelExpire moves a session's timeout to now, in its live key and in the due-index. If the
// session has ended meanwhile, the due entry stays as it is: it is the end of a lease.
var modelExpire = redis.NewScript(`
if redis.call('PEXPIRE', KEYS[1], 1) == 1 then
  local t = redis.call('TIME')
  redis.call('ZADD', KEYS[2], 'XX', t[1] * 1000 + math.floor(t[2] / 1000), ARGV[1])
end
return 1`)

// expireKey lets a session time out that has this live key.
func (m *model) expireKey(s *modelSession, live string) {
	m.end(s, lifecycle.ReasonIdleTimeout)
	m.must(modelExpire.Run(m.ctx, m.rdb, []string{live, s.bucket + "due"}, s.id).Err())
	m.eventually("the live key is gone", func() bool {
		n, err := m.rdb.Exists(m.ctx, live).Result()
		m.must(err)
		return n == 0
	})
}

// doDestroy ends a session from a handler or with Manager.Destroy.
func (m *model) doDestroy(t *rapid.T) {
	s, i := m.session(t), m.instance(t)
	reason := rapid.SampledFrom([]lifecycle.Reason{lifecycle.ReasonDestroyed, lifecycle.ReasonRevoked, "banned"}).Draw(t, "reason")
	if rapid.Bool().Draw(t, "the hook fails first") {
		m.fail(s)
	}
	if reason != lifecycle.ReasonDestroyed {
		m.destroy(i, s, reason)
		return
	}
	m.in(i, s, func(c *lifecycle.Context) {
		m.end(s, reason)
		m.must(c.DestroySession())
	})
}

// destroy ends a session with Manager.Destroy.
func (m *model) destroy(i *modelInstance, s *modelSession, reason lifecycle.Reason) {
	m.end(s, reason)
	if reason == lifecycle.ReasonRevoked {
		reason = ""
	}
	m.must(i.manager.Destroy(m.ctx, s.id, reason))
	if err := i.manager.Destroy(m.ctx, s.id, "again"); !errors.Is(err, lifecycle.ErrSessionEnded) {
		m.t.Fatalf("session %s is destroyed twice: %v", s.id, err)
	}
}

// fail makes the global hook fail in the first attempt at the session's end.
func (m *model) fail(s *modelSession) {
	s.fails = 1
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failing[s.id] = true
}

// doRace lets all instances end a session at the same time. Perhaps it times out, too.
func (m *model) doRace(t *rapid.T) {
	s := m.session(t)
	m.instance(t)
	timeout := rapid.Bool().Draw(t, "timeout")
	live := m.liveKey(s.id)
	errs := make([]error, len(m.instances))
	var wg sync.WaitGroup
	for n, i := range m.instances {
		wg.Go(func() { errs[n] = i.manager.Destroy(m.ctx, s.id, lifecycle.Reason(i.name)) })
	}
	if timeout {
		m.expireKey(s, live)
	}
	wg.Wait()
	for n, err := range errs {
		switch {
		case err == nil && s.ended && s.reason != lifecycle.ReasonIdleTimeout:
			t.Fatalf("session %s was ended by %s, and by %s", s.id, s.reason, m.instances[n].name)
		case err == nil:
			m.end(s, lifecycle.Reason(m.instances[n].name))
		case !errors.Is(err, lifecycle.ErrSessionEnded):
			m.must(err)
		}
	}
	if !s.ended {
		t.Fatalf("session %s was ended by nobody", s.id)
	}
}

// doZombie lets an instance take a claim over while its holder still runs the hooks. The
// holder's ack comes while the other instance runs the hooks.
func (m *model) doZombie(t *rapid.T) {
	s := m.session(t)
	i := m.bystander(t, s)
	first, second := m.barrier(s.id, 1), m.barrier(s.id, 2)
	m.destroy(i, s, "zombie")
	first.wait(m, "the hooks run the first time, session "+s.id)
	s.crashed = true
	m.due(s)
	second.wait(m, "the hooks run the second time, session "+s.id)
	first.lift()
	// Once a later end on the same instance is acked, the holder has sent its ack, too.
	other := m.begin(i, "")
	m.destroy(i, other, "after the zombie")
	m.eventually("the later end is acked", func() bool { return m.acked(other) })
	if m.acked(s) {
		t.Fatalf("session %s: the former holder acked the end, though its claim had been taken over", s.id)
	}
	second.lift()
	m.eventually("the second holder acks the end of session "+s.id, func() bool { return m.acked(s) })
	m.mu.Lock()
	runs := slices.Clone(m.destroyed[s.id])
	m.mu.Unlock()
	if len(runs) != 2 {
		t.Fatalf("session %s: taken over once, its hooks ran %d times: %v", s.id, len(runs), runs)
	}
}

// bystander returns an instance that does not look after the session's bucket. If the
// bystander holds the claim, it is another instance that finds the end due again: no
// instance claims again what it holds itself.
func (m *model) bystander(t *rapid.T, s *modelSession) *modelInstance {
	for len(m.instances) < 2 {
		m.doStart(t)
	}
	ids := make([]string, len(m.instances))
	for n, i := range m.instances {
		ids[n] = i.id
	}
	keeper := membership.Keeper(ids, token.Bucket(s.id, modelBuckets))
	i := m.instance(t)
	if i.id != keeper {
		return i
	}
	n := slices.Index(m.instances, i)
	return m.instances[(n+1)%len(m.instances)]
}

// doEarly makes the instances look at a live session, with a due entry that is too early or
// with a forged event.
func (m *model) doEarly(t *rapid.T) {
	s := m.session(t)
	m.instance(t)
	by := rapid.SampledFrom([]string{"due-index", "expired", "evicted", "del"}).Draw(t, "by")
	if by != "due-index" {
		m.must(m.rdb.Publish(m.ctx, "__keyevent@0__:"+by, m.liveKey(s.id)).Err())
		return
	}
	m.due(s)
	m.eventually("the due entry of session "+s.id+" is moved to its deadline", func() bool {
		at, err := m.rdb.ZScore(m.ctx, s.bucket+"due", s.id).Result()
		if err != nil {
			t.Fatalf("live session %s is not in the due-index: %v", s.id, err)
		}
		return time.UnixMilli(int64(at)).After(time.Now().Add(s.timeout() / 3))
	})
}
