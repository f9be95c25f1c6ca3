package lifecycle

import (
	"context"
	"errors"

	"github.com/gin-gonic/gin"
)

var std = newManager()

// Default returns the manager that the package-level functions use. It serves the store
// of the first request, or of Start, with the manager options that NewStore got.
func Default() *Manager { return std }

// OnSessionCreated registers a hook with the default manager. The hook is called once for
// every session that begins, in the request that begins it, before the request's handler.
//
// OnSessionCreated panics if h is nil, or if it is called after the application has begun
// to serve requests. See Manager.OnSessionCreated.
func OnSessionCreated(h Hook) { std.OnSessionCreated(h) }

// OnSessionDestroyed registers a hook with the default manager. The hook is called at
// least once for every session that ends, on one instance of the fleet, and exactly once
// if nothing crashes and the hook does not fail. Use Session.ID to recognize a second
// call for the same end.
//
// OnSessionDestroyed panics if h is nil, or if it is called after the application has
// begun to serve requests. In a handler use Context.OnSessionDestroyed. See
// Manager.OnSessionDestroyed.
func OnSessionDestroyed(h Hook) { std.OnSessionDestroyed(h) }

// Middleware returns the middleware of the default manager. Put it behind
// sessions.Sessions with a *Store:
//
//	router.Use(sessions.Sessions("session", store))
//	router.Use(lifecycle.Middleware())
//
// It gives every request a session, and runs the created hooks if the session is new. If
// Redis cannot be reached, the request gets a 503 and its handler does not run. The
// middleware panics if there is no session of a *Store before it. See Manager.Middleware.
func Middleware() gin.HandlerFunc { return std.Middleware() }

// Start starts the background work of the default manager on store: it finds ended
// sessions and runs their hooks. Call it when the program starts, so that sessions which
// ended while the application was down are handled at once. ctx limits how long Start may
// take; it does not stop the work.
//
// Start returns ErrUnavailable if Redis cannot be reached; the first request tries again
// then. See Manager.Start for the other errors.
func Start(ctx context.Context, store *Store) error {
	if store == nil {
		return errors.New("lifecycle: Start: the store is nil")
	}
	return std.start(ctx, store)
}

// Shutdown stops the background work of the default manager. It waits for running hooks
// until ctx ends, and runs the hooks of Context.OnSessionDestroyed that are left on this
// instance. Shut the HTTP server down first. See Manager.Shutdown.
func Shutdown(ctx context.Context) error { return std.Shutdown(ctx) }
