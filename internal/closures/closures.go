package closures

import (
	"errors"
	"sync"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// ErrClosed is returned by Register after Refuse or Close.
var ErrClosed = errors.New("closures: closed")

// Closures holds hooks of type H. The zero value is ready. It is safe for concurrent use.
type Closures[H any] struct {
	mu       sync.Mutex
	sessions map[string]*session[H]
	closed   bool
}

// session is a session that has closures here, or is about to.
type session[H any] struct {
	hooks       []H
	record      []byte      // as this process last knew it
	registering int         // registrations that await Redis's reply
	ended       *ledger.End // the end that came while they waited
}

// Register adds a hook for the end of a session. It calls watch, which must note in Redis
// that this instance has closures of the session, and must return the session's record. If
// watch returns an error the hook is not added, and Register returns that error.
//
// ended is not nil if the session has ended since Register was called. The hook is held
// then, and the caller must deliver that end again.
func (c *Closures[H]) Register(id string, hook H, watch func() (record []byte, err error)) (ended *ledger.End, err error) {
	if err := c.begin(id); err != nil {
		return nil, err
	}
	record, err := watch()
	if err != nil {
		c.abort(id)
		return nil, err
	}
	return c.commit(id, hook, record)
}

// begin notes that a registration awaits Redis's reply; commit or abort must follow.
func (c *Closures[H]) begin(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	if c.sessions == nil {
		c.sessions = make(map[string]*session[H])
	}
	s := c.sessions[id]
	if s == nil {
		s = new(session[H])
		c.sessions[id] = s
	}
	s.registering++
	return nil
}

// commit adds the hook of a registration.
func (c *Closures[H]) commit(id string, hook H, record []byte) (ended *ledger.End, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[id]
	if s == nil || c.closed {
		return nil, ErrClosed
	}
	s.registering--
	s.hooks = append(s.hooks, hook)
	s.record = record
	return s.ended, nil
}

// abort ends a registration without a hook.
func (c *Closures[H]) abort(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[id]
	if s == nil {
		return
	}
	if s.registering--; s.registering == 0 && len(s.hooks) == 0 {
		delete(c.sessions, id)
	}
}

// Take takes the hooks of an ended session out, in the order of their registration. The
// caller must run them. record is the session's record as this process last knew it.
func (c *Closures[H]) Take(end ledger.End) (hooks []H, record []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[end.ID]
	if s == nil {
		return nil, nil
	}
	hooks, record = s.hooks, s.record
	s.hooks = nil
	if s.registering > 0 {
		s.ended = &end
	} else {
		delete(c.sessions, end.ID)
	}
	return hooks, record
}

// Has reports whether the session has hooks here, or a registration that awaits Redis's
// reply.
func (c *Closures[H]) Has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[id] != nil
}

// IDs returns the sessions that have hooks here. It leaves out a session that has no hook
// here at the moment, but a registration that awaits Redis's reply: the session's first
// registration, or one during which Take has taken the other hooks out.
func (c *Closures[H]) IDs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]string, 0, len(c.sessions))
	for id, s := range c.sessions {
		if len(s.hooks) > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// Count returns the number of hooks.
func (c *Closures[H]) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, s := range c.sessions {
		n += len(s.hooks)
	}
	return n
}

// Refuse accepts no more hooks. Those that are held stay.
func (c *Closures[H]) Refuse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// Left is a session whose hooks were not taken before Close.
type Left[H any] struct {
	ID     string
	Hooks  []H    // in the order of their registration
	Record []byte // as this process last knew it
}

// Close takes all hooks out and accepts no more. The caller must run them. A second call
// returns nothing.
func (c *Closures[H]) Close() []Left[H] {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	var left []Left[H]
	for id, s := range c.sessions {
		if len(s.hooks) > 0 {
			left = append(left, Left[H]{ID: id, Hooks: s.hooks, Record: s.record})
		}
	}
	c.sessions = nil
	return left
}
