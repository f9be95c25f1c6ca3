package closures

import (
	"errors"
	"sync"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// ErrClosed is returned by Register after Refuse or Close.
var ErrClosed = errors.New("closures: closed")

// Closures holds hooks of type H. It is ready when Unwatch is set. It is safe for concurrent
// use.
type Closures[H any] struct {
	// Unwatch must have Redis forget that this instance has closures of the session. It is
	// called without a lock, and while it is called no hook of the session is registered.
	Unwatch func(id string)

	mu       sync.Mutex
	sessions map[string]*session[H]
	closed   bool
}

// Options says how a hook is held.
type Options struct {
	// Key, if it is not empty, is the name of the hook: it replaces the hook of the same
	// session that has the same name.
	Key string
	// NotAtShutdown has Close drop the hook.
	NotAtShutdown bool
	// First has the hook run before those without First.
	First bool
}

// Register adds a hook for the end of a session. It calls watch, which must note in Redis
// that this instance has closures of the session, and must return the session's record. If
// watch returns an error the hook is not added, and Register returns that error; a hook
// with the same key stays.
//
// remove takes the hook back. It returns true if it has, and so the hook will not be taken;
// false if the hook was taken, replaced, removed or dropped before. If nothing of the
// session is left then, remove calls Unwatch.
//
// ended is not nil if the session has ended since Register was called. The hook is held
// then, and the caller must deliver that end again.
func (c *Closures[H]) Register(id string, hook H, o Options, watch func() (record []byte, err error)) (remove func() bool, ended *ledger.End, err error) {
	if err := c.begin(id); err != nil {
		return nil, nil, err
	}
	record, err := watch()
	if err != nil {
		c.abort(id)
		return nil, nil, err
	}
	h := &held[H]{hook: hook, options: o}
	ended, err = c.commit(id, h, record)
	if err != nil {
		return nil, nil, err
	}
	return func() bool { return c.remove(id, h) }, ended, nil
}

// Take takes the hooks of an ended session out. The last one must run first. The caller
// must run them, and must call Unwatch if there are any. record is the session's record as
// this process last knew it.
func (c *Closures[H]) Take(end ledger.End) (hooks []H, record []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[end.ID]
	if s == nil {
		return nil, nil
	}
	hooks, record = inOrder(s.held, false), s.record
	if len(s.held) > 0 {
		s.held, s.noted = nil, false // the caller takes the note back
	}
	switch {
	case s.registering > 0:
		s.ended = &end
	case s.forgotten == nil:
		delete(c.sessions, end.ID)
	}
	return hooks, record
}

// Has reports whether the session has hooks here, or a registration that awaits Redis's
// reply.
func (c *Closures[H]) Has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[id]
	return s != nil && !s.idle()
}

// IDs returns the sessions that have hooks here. It leaves out a session that has no hook
// here at the moment, but a registration that awaits Redis's reply: the session's first
// registration, or one during which Take has taken the other hooks out.
func (c *Closures[H]) IDs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]string, 0, len(c.sessions))
	for id, s := range c.sessions {
		if len(s.held) > 0 {
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
		n += len(s.held)
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
	Hooks  []H    // the last one must run first; none if all are dropped at the shutdown
	Record []byte // as this process last knew it
}

// Close takes all hooks out and accepts no more. It drops the hooks with NotAtShutdown; the
// caller must run the others, and must call Unwatch, or do the same, for each session. A
// second call returns nothing.
func (c *Closures[H]) Close() []Left[H] {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	var left []Left[H]
	for id, s := range c.sessions {
		if len(s.held) > 0 {
			left = append(left, Left[H]{ID: id, Hooks: inOrder(s.held, true), Record: s.record})
		}
	}
	c.sessions = nil
	return left
}

// inOrder returns hooks in the order of their registration, those with First behind the
// others, because the last one runs first.
func inOrder[H any](all []*held[H], atShutdown bool) (hooks []H) {
	for _, first := range []bool{false, true} {
		for _, h := range all {
			if h.options.First == first && (!atShutdown || !h.options.NotAtShutdown) {
				hooks = append(hooks, h.hook)
			}
		}
	}
	return hooks
}
