package runner

import "context"

// Beginning announces that a session is about to begin in this process. Until finish is
// called, Deliver waits before it runs the session's destroyed hooks.
func (r *Runner[S]) Beginning(id string) (finish func()) {
	done := make(chan struct{})
	r.starting.Store(id, done)
	return func() {
		r.starting.Delete(id)
		close(done)
	}
}

// awaitCreated waits until the created hooks of a session that begins in this process
// have run, or ctx ends.
func (r *Runner[S]) awaitCreated(ctx context.Context, id string) {
	done, ok := r.starting.Load(id)
	if !ok {
		return
	}
	select {
	case <-done.(chan struct{}):
	case <-ctx.Done():
	}
}

// Created runs the created hooks of a session that has just begun, in the order of their
// registration. With Config.CreatedRequired the first hook that fails is the last one,
// and its error is returned.
func (r *Runner[S]) Created(ctx context.Context, id string, s S) error {
	r.counters.created.Add(1)
	for i, h := range r.c.Created {
		if err := r.call(ctx, h, s); err != nil {
			if r.c.CreatedRequired {
				r.failed(refusalFailed, i, id, err)
				return err
			}
			r.failed(createdFailed, i, id, err)
		}
	}
	return nil
}
