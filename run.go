package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// startInterval is the pause between two attempts of Run to start the background work.
const startInterval = time.Second

// Run starts the background work, serves HTTP until ctx ends, and then stops everything in
// the right order. It replaces the calls of Start, of the server's ListenAndServe and
// Shutdown, and of Manager.Shutdown. Register the global hooks before Run, and let ctx end
// with a signal:
//
//	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//	defer stop()
//	err := manager.Run(ctx, &http.Server{Addr: ":8080", Handler: router})
//
// Run listens on the server's Addr (see WithListener), with TLS if there is a certificate
// (see WithTLSFiles). If Redis is away, Run serves all the same and tries to start every
// second: requests get an error until then, and the log says so once.
//
// When ctx ends, these steps follow one another:
//
//  1. The server accepts no more connections. Requests that run may finish.
//  2. After WithRequestGrace the contexts of the requests end, so that streams return: a
//     handler that goes on for long must watch c.Request.Context().Done(). The context's
//     cause is then http.ErrServerClosed.
//  3. After WithServerGrace the server closes the connections that are left.
//  4. Manager.Shutdown runs, for WithHookGrace at most. So hooks have time of their own, and
//     get a context that has not ended.
//
// The contexts of requests are derived from what the server's BaseContext returns, if it is
// set. The server does not wait for connections that a handler has hijacked, a WebSocket's for
// instance, and does not close them. But the context of such a request ends too, with the others
// or when the server has stopped. Close the connection then, with context.AfterFunc, or in a
// function of the server's RegisterOnShutdown, which is called in step 1.
//
// A nil server serves nothing: that is for a worker, a program that runs hooks and has no
// pages. Its Run returns when ctx has ended and the hooks have run.
//
// Run returns nil after an orderly stop. It ends with an error if it cannot listen, if the
// server fails, or if Start would return another error than ErrUnavailable; if requests were
// still running after WithServerGrace; and if Manager.Shutdown fails. Several errors are
// joined. The manager has been shut down in all cases but one: while Run runs, a second
// call returns an error at once and changes nothing. After Run, neither the manager nor the
// server can be started again: Run then returns ErrShutdown. Close the Redis client after
// Run.
func (m *Manager) Run(ctx context.Context, server *http.Server, opts ...RunOption) error {
	m.mu.Lock()
	store := m.store
	m.mu.Unlock()
	if store == nil {
		return errNoStore
	}
	return m.run(ctx, server, store, opts)
}

// Run starts the background work of the default manager on store, serves HTTP until ctx
// ends, and then stops everything in the right order: the server first, with its streams,
// and then the hooks, which have time of their own. If Redis is away at the start, it serves
// all the same, and starts when Redis is there.
//
//	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//	defer stop()
//	err := lifecycle.Run(ctx, &http.Server{Addr: ":8080", Handler: router}, store)
//
// Register the hooks before Run. It returns nil after an orderly stop. See Manager.Run.
func Run(ctx context.Context, server *http.Server, store *Store, opts ...RunOption) error {
	if err := checkStore("Run", store); err != nil {
		return err
	}
	return std.run(ctx, server, store, opts)
}

func (m *Manager) run(ctx context.Context, server *http.Server, store *Store, opts []RunOption) error {
	if !m.running.CompareAndSwap(false, true) {
		return errors.New("lifecycle: Run: it runs already for this manager: call it once, and make a manager for each server with lifecycle.New")
	}
	defer m.running.Store(false)
	c, err := newRunConfig(opts)
	switch {
	case err != nil:
		err = fmt.Errorf("lifecycle: Run: %w", err)
	case m.closed.Load():
		err = fmt.Errorf("%w: Run", ErrShutdown)
	default:
		err = m.serveUntil(ctx, server, store, c)
	}
	if c.listener != nil { // it is open if nothing was served
		err = errors.Join(err, unlessClosed(c.listener.Close()))
	}
	hooks, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.hookGrace)
	defer cancel()
	return errors.Join(err, m.Shutdown(hooks))
}

// serveUntil starts the manager and serves until ctx ends or something fails. When it
// returns, the server has stopped.
func (m *Manager) serveUntil(ctx context.Context, server *http.Server, store *Store, c runConfig) error {
	listener, err := c.listen(server)
	if err != nil {
		return fmt.Errorf("lifecycle: Run: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	// Meanwhile it serves: a Redis that does not answer must not keep the first requests waiting
	// for two times.
	var starting sync.WaitGroup
	starting.Go(func() { m.startInBackground(ctx, store, cancel) })
	defer func() {
		cancel(nil)
		starting.Wait()
	}()
	if listener == nil {
		<-ctx.Done()
	} else {
		err = c.serveHTTP(ctx, server, listener)
	}
	var failed *startError
	if errors.As(context.Cause(ctx), &failed) {
		err = errors.Join(failed.err, err)
	}
	return err
}

// startError is why Run cannot go on.
type startError struct{ err error }

func (e *startError) Error() string { return e.err.Error() }

// startInBackground starts the manager as soon as Redis is there. If it cannot be started for
// another reason, that ends Run.
func (m *Manager) startInBackground(ctx context.Context, store *Store, end context.CancelCauseFunc) {
	ticker := time.NewTicker(startInterval)
	defer ticker.Stop()
	for {
		switch err := m.start(ctx, store); {
		case err == nil:
			return
		case !errors.Is(err, ErrUnavailable):
			end(&startError{err})
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// listen returns the listener to serve, nil for a nil server.
func (c *runConfig) listen(server *http.Server) (net.Listener, error) {
	switch {
	case server == nil && (c.listener != nil || c.certFile != ""):
		return nil, errors.New("the server is nil, so WithListener and WithTLSFiles have no meaning: give Run an *http.Server")
	case server == nil || c.listener != nil:
		return c.listener, nil
	}
	addr := server.Addr
	if addr == "" {
		addr = ":http"
		if c.usesTLS(server) {
			addr = ":https"
		}
	}
	return net.Listen("tcp", addr)
}

func (c *runConfig) usesTLS(server *http.Server) bool {
	t := server.TLSConfig
	return c.certFile != "" || t != nil && (len(t.Certificates) > 0 || t.GetCertificate != nil || t.GetConfigForClient != nil)
}

// serveHTTP serves until ctx ends or the server fails, and stops the server.
func (c *runConfig) serveHTTP(ctx context.Context, server *http.Server, l net.Listener) error {
	requests, endRequests := context.WithCancelCause(context.Background())
	defer endRequests(http.ErrServerClosed)
	server.BaseContext = endingWith(requests, server.BaseContext)
	served := make(chan error, 1)
	go func() {
		if c.usesTLS(server) {
			served <- server.ServeTLS(l, c.certFile, c.keyFile)
		} else {
			served <- server.Serve(l)
		}
	}()
	var failed error
	select {
	case failed = <-served:
	case <-ctx.Done():
	}
	grace := time.AfterFunc(c.requestGrace, func() { endRequests(http.ErrServerClosed) })
	defer grace.Stop()
	stopped := c.stop(context.WithoutCancel(ctx), server)
	if failed == nil {
		failed = <-served // soon: the server has been stopped
	}
	// The server closes its listener, unless it has failed before.
	closed := l.Close()
	if errors.Is(failed, http.ErrServerClosed) {
		failed = nil
	}
	return errors.Join(failed, stopped, unlessClosed(closed))
}

// endingWith returns a BaseContext whose contexts end with requests. They are derived from
// those of base, if it is not nil.
func endingWith(requests context.Context, base func(net.Listener) context.Context) func(net.Listener) context.Context {
	return func(l net.Listener) context.Context {
		parent := context.Background()
		if base != nil {
			parent = base(l)
		}
		ctx, cancel := context.WithCancelCause(parent)
		context.AfterFunc(requests, func() { cancel(context.Cause(requests)) })
		return ctx
	}
}

// stop stops the server, within its time.
func (c *runConfig) stop(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, c.serverGrace)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("lifecycle: Run: requests were still running %v after the stop began, and their connections were closed; "+
			"let their handlers return when the request's context ends, or set WithServerGrace: %w", c.serverGrace, err)
		return errors.Join(err, server.Close())
	}
	return unlessClosed(err)
}

// unlessClosed returns nil for an error which says that a listener has been closed before.
func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
