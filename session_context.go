package lifecycle

import (
	"context"
	"errors"
	"sync"
)

// EndedError is the cause of the end of a Context.SessionContext: context.Cause returns it.
// Find it with errors.As.
//
// errors.Is reports it as ErrSessionEnded, because the session has ended. Only with
// ReasonShutdown errors.Is reports it as ErrShutdown instead: the session lives on, and this
// instance shuts down.
type EndedError struct {
	// Reason says why the session has ended, or is ReasonShutdown.
	Reason Reason
}

func (e *EndedError) Error() string {
	if e.Reason == ReasonShutdown {
		return ErrShutdown.Error()
	}
	return ErrSessionEnded.Error() + ": " + string(e.Reason)
}

// Unwrap returns ErrSessionEnded, or ErrShutdown with ReasonShutdown.
func (e *EndedError) Unwrap() error {
	if e.Reason == ReasonShutdown {
		return ErrShutdown
	}
	return ErrSessionEnded
}

// sessionContexts has the contexts that end with sessions, one for each session. The zero
// value is ready.
type sessionContexts struct {
	mu     sync.Mutex
	byID   map[string]*sessionContext
	closed bool // the instance shuts down: no context begins any more
}

type sessionContext struct {
	context.Context
	end        context.CancelCauseFunc
	registered chan struct{} // closed when the closure that ends it is held, or cannot be
	err        error         // why it cannot be; to be read when registered is closed
}

func newSessionContext() *sessionContext {
	s := &sessionContext{registered: make(chan struct{})}
	s.Context, s.end = context.WithCancelCause(context.Background())
	return s
}

// endedContext returns a context that has ended because of err.
func endedContext(err error) context.Context {
	ctx, end := context.WithCancelCause(context.Background())
	end(err)
	return ctx
}

// get returns the context of a session. If there is none yet it calls register, which must
// have end called when the session ends. Of calls at the same time one registers, and the
// others wait for it.
func (c *sessionContexts) get(id string, register func(end func(Reason)) error) context.Context {
	for {
		s, mine := c.find(id)
		if s == nil {
			return endedContext(ErrShutdown)
		}
		if mine {
			return c.register(id, s, register)
		}
		<-s.registered
		// For the other request the session may have ended because a third one has rotated
		// it. Any other error would be the same here.
		if s.err == nil || !errors.Is(s.err, ErrSessionEnded) {
			return s.Context
		}
	}
}

// find returns the context of a session. mine says that it is new: the caller must register
// it. s is nil after endAll.
func (c *sessionContexts) find(id string) (s *sessionContext, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false
	}
	if s = c.byID[id]; s != nil {
		return s, false
	}
	if c.byID == nil {
		c.byID = make(map[string]*sessionContext)
	}
	s = newSessionContext()
	c.byID[id] = s
	return s, true
}

func (c *sessionContexts) register(id string, s *sessionContext, register func(end func(Reason)) error) context.Context {
	defer close(s.registered)
	s.err = register(func(r Reason) { c.end(id, s, &EndedError{Reason: r}) })
	if s.err != nil {
		c.end(id, s, s.err)
	}
	return s.Context
}

// end ends a context. The first cause stays.
func (c *sessionContexts) end(id string, s *sessionContext, cause error) {
	c.mu.Lock()
	if c.byID[id] == s {
		delete(c.byID, id)
	}
	c.mu.Unlock()
	s.end(cause) // without the lock: it may call functions of the application
}

// endAll ends all contexts at the shutdown. From then on get returns ended ones.
func (c *sessionContexts) endAll() {
	c.mu.Lock()
	all := c.byID
	c.byID, c.closed = nil, true
	c.mu.Unlock()
	for _, s := range all {
		s.end(&EndedError{Reason: ReasonShutdown})
	}
}
