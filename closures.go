package lifecycle

import (
	"sync"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// closures are the hooks that handlers of this instance have registered for
// single sessions. Each is taken out before it runs, so it runs once.
type closures struct {
	mu       sync.Mutex
	sessions map[string]*heldSession
	closed   bool
}

// heldSession is a session of which this instance holds closures.
type heldSession struct {
	hooks   []Hook
	record  []byte      // as last known here
	opening int         // registrations that wait for Redis's word
	ended   *ledger.End // what came while they waited
}

// open begins a registration; commit or abort must follow. false means that
// the instance shuts down.
func (c *closures) open(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	if c.sessions == nil {
		c.sessions = make(map[string]*heldSession)
	}
	h := c.sessions[id]
	if h == nil {
		h = new(heldSession)
		c.sessions[id] = h
	}
	h.opening++
	return true
}

// commit adds the hook. end is not nil if the session has ended since open:
// the news must then be delivered again. ok is false if the instance has shut
// down since.
func (c *closures) commit(id string, hook Hook, record []byte) (end *ledger.End, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.sessions[id]
	if h == nil || c.closed {
		return nil, false
	}
	h.opening--
	h.hooks = append(h.hooks, hook)
	h.record = record
	return h.ended, true
}

// abort ends a registration that came to nothing.
func (c *closures) abort(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.sessions[id]
	if h == nil {
		return
	}
	if h.opening--; h.opening == 0 && len(h.hooks) == 0 {
		delete(c.sessions, id)
	}
}

// take takes the hooks of an ended session out, and the record as last known.
func (c *closures) take(end ledger.End) (hooks []Hook, record []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.sessions[end.ID]
	if h == nil {
		return nil, nil
	}
	hooks, record = h.hooks, h.record
	h.hooks = nil
	if h.opening > 0 {
		h.ended = &end
	} else {
		delete(c.sessions, end.ID)
	}
	return hooks, record
}

// has reports whether the session has hooks, or is about to.
func (c *closures) has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[id] != nil
}

// ids returns the sessions that have hooks.
func (c *closures) ids() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]string, 0, len(c.sessions))
	for id, h := range c.sessions {
		if len(h.hooks) > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// count returns the number of hooks.
func (c *closures) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, h := range c.sessions {
		n += len(h.hooks)
	}
	return n
}

// close takes everything out and lets nothing more in.
func (c *closures) close() map[string]*heldSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	all := c.sessions
	c.sessions = nil
	return all
}
