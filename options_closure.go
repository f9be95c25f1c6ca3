package lifecycle

import (
	"errors"

	"github.com/gin-lifecycle/lifecycle/internal/closures"
)

// ClosureOption is an option of Context.OnSessionDestroyed.
type ClosureOption func(*closure) error

// closure is a hook for one session, and how it is held.
type closure struct {
	hook Hook
	closures.Options
}

func newClosure(h Hook, opts []ClosureOption) (closure, error) {
	c := closure{hook: h}
	for _, o := range opts {
		if o == nil {
			continue
		}
		if err := o(&c); err != nil {
			return closure{}, err
		}
	}
	return c, nil
}

// Key gives a closure a name. If this instance holds a closure of the same session with the
// same key, the new closure replaces it: the old one does not run, and the new one takes its
// place in the order of the closures. So a handler may register the closure in each of its
// requests, and the instance holds one.
//
// The key replaces the hook and nothing else. The handler must not have opened a second
// resource then, or must release the first one itself. Use a key where opening twice is the
// same as opening once: a folder that exists already, an entry of a map, a lock that the
// session holds.
//
// If a registration returns an error, the earlier closure stays. If two requests register
// the same key at the same time, one of the two closures stays. Closures of other sessions
// and of other instances have keys of their own.
//
// Without this option a closure has no name, and none replaces it. An empty key is an error
// of Context.OnSessionDestroyed.
func Key(key string) ClosureOption {
	return func(c *closure) error {
		if key == "" {
			return errors.New("lifecycle: OnSessionDestroyed: Key: the key is \"\": give the closure a name, or leave the option out")
		}
		c.Key = key
		return nil
	}
}

// NotAtShutdown says that the closure does not run when this instance shuts down, because
// the session lives on. Use it for what belongs to the session and not to the process: a
// seat must not become free with each deployment of the application. Without this option
// the closure runs at the shutdown, with ReasonShutdown, which is right for what belongs to
// the process, such as an open file.
//
// At the shutdown the instance drops such a closure, and no other instance runs it when the
// session ends later. Either register it again in the next requests of the session (see
// Key), on whichever instance they come to, or do what must happen in a hook of
// Manager.OnSessionDestroyed.
func NotAtShutdown() ClosureOption {
	return func(c *closure) error {
		c.NotAtShutdown = true
		return nil
	}
}
