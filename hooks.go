package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-lifecycle/lifecycle/internal/closures"
	"github.com/gin-lifecycle/lifecycle/internal/keepalive"
)

// A Manager implements hooks, which is what a session needs of it as it begins and ends.

func (m *Manager) beginning(id string) (finish func()) { return m.runner.Beginning(id) }

// runCreated runs the created hooks. With WithCreatedHooksRequired a hook's error refuses
// the session.
func (m *Manager) runCreated(r *http.Request, s *Session) error {
	s.httpRequest = r
	if err := m.runner.Created(context.WithoutCancel(r.Context()), s.ID, s); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

// end ends a session. If the manager has been started it claims the end and runs the
// hooks; otherwise an instance that has been started finds the end.
func (m *Manager) end(ctx context.Context, id, proof string, reason Reason) (ok bool, err error) {
	e := m.engine.Load()
	if e == nil {
		return noHooks{m.store}.end(ctx, id, proof, reason)
	}
	ok, err = e.End(ctx, id, proof, string(reason))
	return ok, unavailable("end", err)
}

func (m *Manager) hold(id string, c closure, watch func(instance string) (record []byte, err error)) (remove func() bool, err error) {
	remove, ended, err := m.runner.Hold(id, c.hook, c.Options, func() (record []byte, err error) { return watch(m.instance) })
	if errors.Is(err, closures.ErrClosed) {
		return nil, ErrShutdown
	}
	if e := m.engine.Load(); ended != nil && e != nil {
		e.SubmitNews(*ended) // the session has ended while Redis was asked
	}
	return remove, err
}

// sessionContext holds one closure for all who ask for the context of a session. At the
// shutdown Shutdown ends the contexts, before any closure runs.
func (m *Manager) sessionContext(id string, watch func(instance string) (record []byte, err error)) context.Context {
	return m.contexts.get(id, func(end func(Reason)) error {
		ends := closure{
			hook: func(_ context.Context, s *Session) error {
				end(s.Reason)
				return nil
			},
			Options: closures.Options{First: true, NotAtShutdown: true},
		}
		_, err := m.hold(id, ends, watch)
		return err
	})
}

func (m *Manager) keeper() *keepalive.Keeper {
	e := m.engine.Load()
	if e == nil || m.closed.Load() {
		return nil
	}
	return e.Keeper()
}
