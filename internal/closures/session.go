package closures

import (
	"slices"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// session is a session that has closures here, or is about to, or just had some.
type session[H any] struct {
	held        []*held[H]    // in the order of registration
	record      []byte        // as this process last knew it
	noted       bool          // Redis was told that this instance has closures of it
	registering int           // registrations that await Redis's reply
	ended       *ledger.End   // the end that came while they waited
	forgotten   chan struct{} // nil unless Unwatch is being called; closed when it has returned
}

// held is a hook that is held. Its address is its identity.
type held[H any] struct {
	hook    H
	options Options
}

// idle reports whether the session has no hooks and no registrations.
func (s *session[H]) idle() bool { return len(s.held) == 0 && s.registering == 0 }

// add adds a hook. A hook with the same key is replaced, and the new one gets its place.
func (s *session[H]) add(h *held[H]) {
	i := slices.IndexFunc(s.held, func(x *held[H]) bool { return h.options.Key != "" && x.options.Key == h.options.Key })
	if i >= 0 {
		s.held[i] = h
		return
	}
	s.held = append(s.held, h)
}

// begin notes that a registration awaits Redis's reply; commit or abort must follow. If
// Redis is being told to forget the session, begin waits: the note of this registration
// must come after that.
func (c *Closures[H]) begin(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed {
		if c.sessions == nil {
			c.sessions = make(map[string]*session[H])
		}
		s := c.sessions[id]
		if s == nil {
			s = new(session[H])
			c.sessions[id] = s
		}
		if s.forgotten == nil {
			s.registering++
			return nil
		}
		forgotten := s.forgotten
		c.mu.Unlock()
		<-forgotten
		c.mu.Lock()
	}
	return ErrClosed
}

// commit adds the hook of a registration that Redis has noted.
func (c *Closures[H]) commit(id string, h *held[H], record []byte) (ended *ledger.End, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[id]
	if s == nil { // Close was called meanwhile
		s = &session[H]{registering: 1}
	}
	s.registering--
	s.noted = true
	if c.closed {
		c.settle(id, s)
		return nil, ErrClosed
	}
	s.add(h)
	s.record = record
	return s.ended, nil
}

// abort ends a registration without a hook.
func (c *Closures[H]) abort(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sessions[id]; s != nil {
		s.registering--
		c.settle(id, s)
	}
}

// remove takes a hook back; see Register.
func (c *Closures[H]) remove(id string, h *held[H]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[id]
	if s == nil {
		return false
	}
	i := slices.Index(s.held, h)
	if i < 0 {
		return false
	}
	s.held = slices.Delete(s.held, i, i+1)
	c.settle(id, s)
	return true
}

// settle has Redis forget a session of which nothing is left, if Redis knows of it. The
// caller holds mu, which is free while Unwatch is called; begin waits then.
func (c *Closures[H]) settle(id string, s *session[H]) {
	if !s.idle() {
		return
	}
	if s.noted {
		s.noted = false
		s.forgotten = make(chan struct{})
		c.mu.Unlock()
		c.Unwatch(id)
		c.mu.Lock()
		close(s.forgotten)
		s.forgotten = nil
	}
	if c.sessions[id] == s {
		delete(c.sessions, id)
	}
}
