package faults

import (
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/gin-contrib/sessions"
	"pgregory.net/rapid"

	"github.com/gin-lifecycle/lifecycle"
)

// Actions: what visitors do.

// doCreate begins some sessions.
func (m *model) doCreate(t *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(t, "sessions") {
		m.begin(m.instance(t), "")
	}
}

// timeout is how long the session is live after its last request.
func (s *modelSession) timeout() time.Duration {
	if s.confirmed {
		return modelIdle
	}
	return modelUnconfirmed
}

// begin makes a request with a cookie that opens no live session, or without a cookie: a new
// session begins.
func (m *model) begin(i *modelInstance, cookie string) *modelSession {
	s := m.tryBegin(i, cookie)
	if s == nil {
		m.t.Fatalf("no session begins with the cookie of %s", m.owner(cookie))
	}
	return s
}

// tryBegin is begin for a request in which perhaps no session may begin. It returns nil then.
func (m *model) tryBegin(i *modelInstance, cookie string) *modelSession {
	s := &modelSession{values: make(map[any]any)}
	s.cookie = i.visit(cookie, func(c *lifecycle.Context) {
		if now := c.Session(); now != nil {
			s.id = now.ID
		} else if err := modelPut(c, "withheld", 1); !errors.Is(err, lifecycle.ErrSessionWithheld) {
			m.t.Fatalf("a request without a session saves: %v, want ErrSessionWithheld", err)
		}
	})
	if s.id == "" && s.cookie == cookie {
		return nil
	}
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
	left, err := m.rdb.PTTL(m.ctx, key).Result()
	m.must(err)
	if left <= 0 || left > modelUnconfirmed {
		m.t.Fatalf("session %s begins with a time to live of %v", s.id, left)
	}
	m.sessions = append(m.sessions, s)
	return s
}

// owner returns the ID of the session whose cookie it is, or was.
func (m *model) owner(cookie string) string {
	id, _, _ := strings.Cut(cookie, ".")
	return id
}

// liveKey returns the name of a session's live key.
func (m *model) liveKey(id string) string {
	keys, err := m.rdb.Keys(m.ctx, modelPrefix+":{*}:live:"+id+":*").Result()
	m.must(err)
	if len(keys) != 1 {
		m.t.Fatalf("session %s has %d live keys", id, len(keys))
	}
	return keys[0]
}

// in makes a request with the cookie of a live session.
func (m *model) in(i *modelInstance, s *modelSession, handler func(*lifecycle.Context)) {
	before := s.cookie
	s.confirmed = true
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

// modelPut sets a value and saves.
func modelPut(c *lifecycle.Context, key string, value int) error {
	session := sessions.Default(c.Context)
	session.Set(key, value)
	return session.Save()
}

// modelPair draws a key and a value.
func modelPair(t *rapid.T) (string, int) {
	return rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"), rapid.IntRange(0, 9).Draw(t, "value")
}

// doSave saves a value.
func (m *model) doSave(t *rapid.T) {
	s, i := m.session(t), m.instance(t)
	key, value := modelPair(t)
	m.in(i, s, func(c *lifecycle.Context) { m.must(modelPut(c, key, value)) })
	s.values[key] = value
}

// doTouch makes a request when half of the idle timeout is over. The timeout starts again.
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

// doRotate rotates a session's token, perhaps together with a save, as a login does.
func (m *model) doRotate(t *rapid.T) {
	s, i := m.session(t), m.instance(t)
	login := rapid.Bool().Draw(t, "with a save")
	key, value := modelPair(t)
	before := s.cookie
	m.in(i, s, func(c *lifecycle.Context) {
		m.must(c.RotateSession())
		if login {
			m.must(modelPut(c, key, value))
		}
	})
	if login {
		s.values[key] = value
	}
	if s.cookie == before || m.owner(s.cookie) != s.id {
		t.Fatalf("session %s: the rotation left the cookie of %s", s.id, m.owner(s.cookie))
	}
}

// doStale makes a request with a cookie from before a rotation or an end. While the cookie's
// session is live and remembers the cookie, no other session begins. Once that session has
// ended, another one may begin or not.
func (m *model) doStale(t *rapid.T) {
	type stale struct {
		cookie    string
		of        *modelSession
		rotations int // since the cookie was good
	}
	var cookies []stale
	for _, s := range m.sessions {
		for n, cookie := range s.old {
			cookies = append(cookies, stale{cookie, s, len(s.old) - n})
		}
		if s.ended {
			cookies = append(cookies, stale{s.cookie, s, 0})
		}
	}
	if len(cookies) == 0 {
		t.Skip("no stale cookie")
	}
	i := m.instance(t)
	c := cookies[rapid.IntRange(0, len(cookies)-1).Draw(t, "cookie")]
	remembered := c.rotations > 0 && c.rotations <= modelRemembered
	began := m.tryBegin(i, c.cookie) != nil
	switch {
	case !remembered && !began:
		t.Fatalf("no session begins with a cookie of %s from %d rotations ago", c.of.id, c.rotations)
	case remembered && began && !c.of.ended:
		t.Fatalf("a session begins with a cookie of %s from %d rotations ago", c.of.id, c.rotations)
	}
}

// doHold lets handlers register hooks for one session, mostly on several instances.
func (m *model) doHold(t *rapid.T) {
	s := m.session(t)
	for range rapid.IntRange(1, 3).Draw(t, "hooks") {
		h := &modelHold{instance: m.instance(t)}
		h.key = rapid.SampledFrom([]string{"", "", "seat", "room"}).Draw(t, "key")
		h.stays = rapid.Bool().Draw(t, "stays at the shutdown")
		m.in(h.instance, s, func(c *lifecycle.Context) { m.hold(c, h, s, maps.Clone(s.values)) })
	}
}

// doTakeBack takes one hook back. If its session has ended, the hook may be about to run.
func (m *model) doTakeBack(t *rapid.T) {
	var holds []*modelHold
	sessions := map[*modelHold]*modelSession{}
	for _, s := range m.sessions {
		for _, h := range s.holds {
			if !h.killed && !h.refused {
				holds = append(holds, h)
				sessions[h] = s
			}
		}
	}
	if len(holds) == 0 {
		t.Skip("no hook")
	}
	h := holds[rapid.IntRange(0, len(holds)-1).Draw(t, "hook")]
	s := sessions[h]
	could := !h.gone && !h.shut
	removed := h.remove()
	if removed && !could || !removed && could && !s.ended {
		t.Fatalf("session %s: a closure was taken back: %v; shut %v, gone %v, ended %v", s.id, removed, h.shut, h.gone, s.ended)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	h.gone = h.gone || removed
}

// hold registers a closure. known are the session's values as the request has read them.
func (m *model) hold(c *lifecycle.Context, h *modelHold, s *modelSession, known map[any]any) {
	var opts []lifecycle.ClosureOption
	if h.key != "" {
		opts = append(opts, lifecycle.Key(h.key))
	}
	if h.stays {
		opts = append(opts, lifecycle.NotAtShutdown())
	}
	var err error
	h.remove, err = c.OnSessionDestroyed(h.hook, opts...)
	m.must(err)
	m.holds(h.instance, func(other *modelSession, earlier *modelHold) {
		if other == s {
			earlier.known = known
			earlier.gone = earlier.gone || h.key != "" && earlier.key == h.key && !earlier.refused
		}
	})
	h.known = known
	s.holds = append(s.holds, h)
}

// doLate lets another request change or end a session after this request has read the session,
// and before this request changes it.
func (m *model) doLate(t *rapid.T) {
	s, i, j := m.session(t), m.instance(t), m.instance(t)
	overtaken := rapid.SampledFrom([]string{"destroy", "expire", "rotate", "save"}).Draw(t, "overtaken by")
	late := rapid.SampledFrom([]string{"save", "rotate", "destroy", "hold"}).Draw(t, "late")
	key, value := modelPair(t)
	known := maps.Clone(s.values)
	before := s.cookie
	s.confirmed = true
	after := i.visit(s.cookie, func(c *lifecycle.Context) {
		switch overtaken {
		case "destroy":
			m.destroy(j, s, lifecycle.ReasonRevoked)
		case "expire":
			m.expire(s)
		case "rotate":
			m.in(j, s, func(c *lifecycle.Context) { m.must(c.RotateSession()) })
		case "save":
			m.in(j, s, func(c *lifecycle.Context) { m.must(modelPut(c, "other", value)) })
			s.values["other"] = value
		}
		// A logout ends the session even if its secret has changed meanwhile.
		if overtaken != "save" && (overtaken != "rotate" || late != "destroy") {
			m.refused(c, i, s, late)
			return
		}
		switch late {
		case "save":
			m.must(modelPut(c, key, value))
			// What another request has saved meanwhile stays: saves are merged by key.
			s.values[key] = value
		case "rotate":
			m.must(c.RotateSession())
		case "destroy":
			m.must(c.DestroySession())
			m.end(s, lifecycle.ReasonDestroyed)
		case "hold":
			m.hold(c, &modelHold{instance: i}, s, known)
		}
	})
	if overtaken == "save" && late == "rotate" {
		s.old = append(s.old, before)
		s.cookie = after
	}
}

// refused tries to change or end a session that this request cannot reach any more.
func (m *model) refused(c *lifecycle.Context, i *modelInstance, s *modelSession, what string) {
	var err error
	switch what {
	case "save":
		err = modelPut(c, "late", 1)
	case "rotate":
		err = c.RotateSession()
	case "destroy":
		err = c.DestroySession()
	case "hold":
		h := &modelHold{instance: i, refused: true}
		s.holds = append(s.holds, h)
		_, err = c.OnSessionDestroyed(h.hook)
	}
	if !errors.Is(err, lifecycle.ErrSessionEnded) {
		m.t.Fatalf("late %s: %v, want ErrSessionEnded", what, err)
	}
}
