package faults

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/gin-lifecycle/lifecycle"
)

// begin makes a request with a cookie that names no live session, or without
// any: a new session begins.
func (m *model) begin(i *modelInstance, cookie string) *modelSession {
	s := &modelSession{values: make(map[any]any)}
	s.cookie = i.visit(cookie, func(c *lifecycle.Context) { s.id = c.Session().ID })
	if s.cookie == cookie || !strings.HasPrefix(s.cookie, s.id+".") {
		m.t.Fatalf("session %s began with the cookie of %s", s.id, m.owner(s.cookie))
	}
	for _, other := range m.sessions {
		if other.id == s.id {
			m.t.Fatalf("a session began under the ID of another: %s, ended: %v", s.id, other.ended)
		}
	}
	m.t.Logf("session %s begins on %s", s.id, i.name)
	key := m.liveKey(s.id)
	s.bucket = key[:strings.Index(key, "}:")+2]
	m.sessions = append(m.sessions, s)
	return s
}

// owner returns the ID of the session whose cookie it is or was.
func (m *model) owner(cookie string) string {
	id, _, _ := strings.Cut(cookie, ".")
	return id
}

func (m *model) liveKey(id string) string {
	keys, err := m.rdb.Keys(m.ctx, modelPrefix+":{*}:live:"+id+":*").Result()
	m.must(err)
	if len(keys) != 1 {
		m.t.Fatalf("session %s has %d live keys", id, len(keys))
	}
	return keys[0]
}

// in makes a request of a live session.
func (m *model) in(i *modelInstance, s *modelSession, handler func(*lifecycle.Context)) {
	before := s.cookie
	after := i.visit(s.cookie, func(c *lifecycle.Context) {
		if got := c.Session().ID; got != s.id {
			m.t.Fatalf("the cookie of session %s names %s", s.id, got)
		}
		if got := c.Session().Values(); !maps.Equal(got, s.values) {
			m.t.Fatalf("session %s is read with %v, want %v", s.id, got, s.values)
		}
		handler(c)
	})
	if !s.ended && after != before {
		s.old = append(s.old, before)
		s.cookie = after
	}
}

// put sets a value and saves.
func put(c *lifecycle.Context, key string, value int) error {
	session := sessions.Default(c.Context)
	session.Set(key, value)
	return session.Save()
}

func (m *model) end(s *modelSession, reason lifecycle.Reason) {
	s.ended, s.reason = true, reason
}

// expire lets a session's idle timeout pass.
func (m *model) expire(s *modelSession) {
	live := m.liveKey(s.id)
	m.expireKey(s, live)
}

// modelExpire moves a session's timeout to now, in its live key and the due-index.
// Of one that has ended meanwhile the entry is left alone: it is a lease.
var modelExpire = redis.NewScript(`
if redis.call('PEXPIRE', KEYS[1], 1) == 1 then
  local t = redis.call('TIME')
  redis.call('ZADD', KEYS[2], 'XX', t[1] * 1000 + math.floor(t[2] / 1000), ARGV[1])
end
return 1`)

func (m *model) expireKey(s *modelSession, live string) {
	m.end(s, lifecycle.ReasonIdleTimeout)
	m.must(modelExpire.Run(m.ctx, m.rdb, []string{live, s.bucket + "due"}, s.id).Err())
	m.eventually("the live key goes", func() bool {
		n, err := m.rdb.Exists(m.ctx, live).Result()
		m.must(err)
		return n == 0
	})
}

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

// unmute ends the loss of messages. Instances that have missed some find out when
// they subscribe anew.
func (m *model) unmute() {
	if m.muted.Swap(false) {
		m.deafen()
	}
}

// deafen cuts all subscriptions; they come back by themselves.
func (m *model) deafen() {
	m.must(m.rdb.ClientKillByFilter(m.ctx, "TYPE", "pubsub").Err())
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

func (m *model) doCreate(t *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(t, "sessions") {
		m.begin(m.instance(t), "")
	}
}

func (m *model) doSave(t *rapid.T) {
	s, i := m.session(t), m.instance(t)
	key, value := drawPair(t)
	m.in(i, s, func(c *lifecycle.Context) { m.must(put(c, key, value)) })
	s.values[key] = value
}

func drawPair(t *rapid.T) (string, int) {
	return rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"), rapid.IntRange(0, 9).Draw(t, "value")
}

// doTouch visits late in a session's idle timeout, which begins anew.
func (m *model) doTouch(t *rapid.T) {
	s, i := m.session(t), m.instance(t)
	live := m.liveKey(s.id)
	m.must(m.rdb.PExpire(m.ctx, live, modelIdle/2).Err())
	m.in(i, s, func(*lifecycle.Context) {})
	left, err := m.rdb.PTTL(m.ctx, live).Result()
	m.must(err)
	if left <= modelIdle/2 {
		t.Fatalf("session %s has %v left after a request", s.id, left)
	}
}

func (m *model) doRotate(t *rapid.T) {
	s, i := m.session(t), m.instance(t)
	login := rapid.Bool().Draw(t, "with a save")
	key, value := drawPair(t)
	before := s.cookie
	m.in(i, s, func(c *lifecycle.Context) {
		m.must(c.RotateSession())
		if login {
			m.must(put(c, key, value))
		}
	})
	if login {
		s.values[key] = value
	}
	if s.cookie == before || m.owner(s.cookie) != s.id {
		t.Fatalf("session %s: the rotation left the cookie of %s", s.id, m.owner(s.cookie))
	}
}

// doStale visits with a cookie from before a rotation or an end.
func (m *model) doStale(t *rapid.T) {
	var cookies []string
	for _, s := range m.sessions {
		cookies = append(cookies, s.old...)
		if s.ended {
			cookies = append(cookies, s.cookie)
		}
	}
	if len(cookies) == 0 {
		t.Skip("no stale cookie")
	}
	i := m.instance(t)
	m.begin(i, cookies[rapid.IntRange(0, len(cookies)-1).Draw(t, "cookie")])
}

// doHold lets handlers register hooks for a session, mostly on several instances.
func (m *model) doHold(t *rapid.T) {
	s := m.session(t)
	for range rapid.IntRange(1, 3).Draw(t, "hooks") {
		i := m.instance(t)
		m.in(i, s, func(c *lifecycle.Context) { m.hold(c, i, s, maps.Clone(s.values)) })
	}
}

// hold registers a handler's hook in a request that has read known.
func (m *model) hold(c *lifecycle.Context, i *modelInstance, s *modelSession, known map[any]any) {
	h := &modelHold{instance: i}
	m.must(c.OnSessionDestroyed(h.hook))
	s.holds = append(s.holds, h)
	m.holds(i, func(other *modelSession, h *modelHold) {
		if other == s {
			h.known = known
		}
	})
}

// doLate lets a request be overtaken by another between its reading and its
// writing of a session.
func (m *model) doLate(t *rapid.T) {
	s, i, j := m.session(t), m.instance(t), m.instance(t)
	overtaken := rapid.SampledFrom([]string{"destroy", "expire", "rotate", "save"}).Draw(t, "overtaken by")
	late := rapid.SampledFrom([]string{"save", "rotate", "destroy", "hold"}).Draw(t, "late")
	key, value := drawPair(t)
	known := maps.Clone(s.values)
	before := s.cookie
	after := i.visit(s.cookie, func(c *lifecycle.Context) {
		switch overtaken {
		case "destroy":
			m.destroy(j, s, lifecycle.ReasonRevoked)
		case "expire":
			m.expire(s)
		case "rotate":
			m.in(j, s, func(c *lifecycle.Context) { m.must(c.RotateSession()) })
		case "save":
			m.in(j, s, func(c *lifecycle.Context) { m.must(put(c, "other", value)) })
			s.values["other"] = value
		}
		if overtaken != "save" {
			m.refused(c, i, s, late)
			return
		}
		switch late {
		case "save":
			m.must(put(c, key, value))
			s.values = known // nothing is merged
			s.values[key] = value
		case "rotate":
			m.must(c.RotateSession())
		case "destroy":
			m.must(c.DestroySession())
			m.end(s, lifecycle.ReasonDestroyed)
		case "hold":
			m.hold(c, i, s, known)
		}
	})
	if overtaken == "save" && late == "rotate" {
		s.old = append(s.old, before)
		s.cookie = after
	}
}

// refused does in a handler what the session is no longer there for.
func (m *model) refused(c *lifecycle.Context, i *modelInstance, s *modelSession, what string) {
	var err error
	switch what {
	case "save":
		err = put(c, "late", 1)
	case "rotate":
		err = c.RotateSession()
	case "destroy":
		err = c.DestroySession()
	case "hold":
		h := &modelHold{instance: i, refused: true}
		s.holds = append(s.holds, h)
		err = c.OnSessionDestroyed(h.hook)
	}
	if !errors.Is(err, lifecycle.ErrSessionEnded) {
		m.t.Fatalf("late %s: %v, want ErrSessionEnded", what, err)
	}
}

// fail makes the global hook fail in the first attempt at a session's end.
func (m *model) fail(s *modelSession) {
	s.fails = 1
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failing[s.id] = true
}

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

// doExpire ends a session by its timeout, whether an instance is there or not.
func (m *model) doExpire(t *rapid.T) { m.expire(m.session(t)) }

// doRace lets all instances end a session at once, while its timeout passes.
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

// doEarly asks for a look at a live session, by an entry of the due-index that is
// too early or by a forged event.
func (m *model) doEarly(t *rapid.T) {
	s := m.session(t)
	m.instance(t)
	by := rapid.SampledFrom([]string{"due-index", "expired", "evicted", "del"}).Draw(t, "by")
	if by != "due-index" {
		m.must(m.rdb.Publish(m.ctx, "__keyevent@0__:"+by, m.liveKey(s.id)).Err())
		return
	}
	m.due(s)
	m.eventually("the entry of session "+s.id+" is moved to its deadline", func() bool {
		at, err := m.rdb.ZScore(m.ctx, s.bucket+"due", s.id).Result()
		m.must(err)
		return time.UnixMilli(int64(at)).After(time.Now().Add(modelIdle / 3))
	})
}

// doZombie lets a claim be taken over while its holder still runs the hooks; the
// holder's ack comes while the other runs them.
func (m *model) doZombie(t *rapid.T) {
	s, i := m.session(t), m.instance(t)
	first, second := m.barrier(s.id, 1), m.barrier(s.id, 2)
	m.destroy(i, s, "zombie")
	first.wait(m, "the first run of the hooks of "+s.id)
	s.crashed = true
	m.due(s)
	second.wait(m, "the second run of the hooks of "+s.id)
	first.lift()
	// The ack of an end that follows it on the same instance tells that the
	// holder's has been sent.
	other := m.begin(i, "")
	m.destroy(i, other, "after the zombie")
	m.eventually("the end after the zombie's is finished", func() bool { return m.acked(other) })
	if m.acked(s) {
		t.Fatalf("session %s: a claim that was taken over was acked by its former holder", s.id)
	}
	second.lift()
	m.eventually("the end of session "+s.id+" is finished by its second holder", func() bool { return m.acked(s) })
	m.mu.Lock()
	runs := slices.Clone(m.destroyed[s.id])
	m.mu.Unlock()
	if len(runs) != 2 {
		t.Fatalf("session %s: taken over once, its hooks ran %d times: %v", s.id, len(runs), runs)
	}
}

func (m *model) doSettle(t *rapid.T) {
	m.instance(t)
	m.settle(t)
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

func (m *model) doShutdown(t *rapid.T) { m.shutdown(m.instance(t)) }

func (m *model) doStart(t *rapid.T) {
	if len(m.instances) == modelSlots {
		t.Skip("all are there")
	}
	m.instances = append(m.instances, m.startInstance())
}

// doDeafen cuts the subscriptions, and ends a session before they are back.
func (m *model) doDeafen(t *rapid.T) {
	s, i := m.session(t), m.instance(t)
	m.deafen()
	m.destroy(i, s, "unheard")
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
