/*
Package lifecycle tells a gin application when a session begins and when it
ends.

Sessions are kept in Redis by a [Store] for github.com/gin-contrib/sessions.
Created hooks run in the request that begins a session. Destroyed hooks run when
a session expires, is logged out, revoked, deleted, evicted or lost, with the
session's values still at hand, on one instance of the fleet. A handler registers
clean-up for its own session with [Context.OnSessionDestroyed].

	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	store, err := lifecycle.NewStore(rdb)
	if err != nil {
		log.Fatal(err)
	}
	lifecycle.OnSessionDestroyed(func(ctx context.Context, s *lifecycle.Session) error {
		log.Printf("session %s ended: %s, user %v", s.ID, s.Reason, s.Get("user"))
		return nil
	})
	router := gin.Default()
	router.Use(sessions.Sessions("session", store))
	router.Use(lifecycle.Middleware())

# Words

  - A session is the server-side state of one visitor.
  - Its ID is public and stable for the session's whole life. It may be logged and
    shown, and is the idempotency key of hooks.
  - Its secret is known to the visitor only. ID and secret make the token, which is
    the cookie's value. Redis holds a part of a SHA-256 over the secret.
  - The live key is the Redis key whose time to live is the session's.
  - The record is what is known of the session: values and metadata. It outlives
    the live key until the end is handled.
  - The due-index is a sorted set of IDs by the time at which each next needs a look.
  - A bucket is a fixed share of all sessions, by ID. Instances divide the buckets
    among themselves.
  - An end is the single transition of a session from live to ended, with a
    [Reason].
  - A claim is the right of one instance to run the hooks of an end, under a lease.
    Ack finishes the claim. Ends whose hooks have failed for good are in the dead
    set, until they are retried or dropped ([Manager.Dead]).
  - An instance is one running process of the application; here, one [Manager].

# What is promised

  - A session that began ends exactly once: the end is one atomic step in Redis,
    whoever finds it. A save never revives an ended session; it returns
    [ErrSessionEnded].
  - The destroyed hooks registered by [OnSessionDestroyed] run at least once for
    every end, and exactly once where nothing crashes and no hook fails.
    [Session.Attempt] counts. No destroyed hook runs for a live session, except that
    a shutdown runs the hooks of handlers, with [ReasonShutdown].
  - Created comes before destroyed. [Context.RotateSession] is not an end.
  - The hooks of [Context.OnSessionDestroyed] run once, in the process that
    registered them: at the session's end or at [Manager.Shutdown], never both.
  - A hook that fails, panics or hangs harms no other hook, session or request.
  - While Redis is away requests fail with [ErrUnavailable] and hooks wait.
  - Nothing needs CONFIG or keyspace notifications.

What Redis itself loses, by FLUSHALL, an unsynced tail of its append-only file or
a failover without the last writes, cannot be reconstructed. Then only the hooks
that handlers have registered in living instances run, with [ReasonLost]. The
README lists the limits.

# How the pieces fit

[NewStore] makes a store on a go-redis client. [New] makes a manager for a store;
the package-level functions act on the default one ([Default]), which takes the
store of its first request or of [Start]. Hooks are registered before serving
begins; later registrations panic. [Manager.Middleware] gives each request its
session, and starts the background work with the first request if [Manager.Start]
has not. That work looks at the due-index, claims ends, runs hooks and renews
leases. Keyspace notifications are hints to look sooner and are never believed.
[Manager.Shutdown] finishes it.

In a handler, [Handler] or [From] give a [Context]. Values are read and written
with sessions.Default and Save, as with any store of gin-contrib/sessions.
[Manager.Get], [Manager.All], [Manager.Count] and [Manager.Destroy] are for
administrators, as are [Manager.Dead], [Manager.RetryDead] and [Manager.DropDead]
for ends whose hooks have failed for good; [Manager.Stats] is for monitoring.

# Concurrency

Store and Manager are safe for concurrent use. A [Context] and the gin-contrib
session are for the goroutine of their request. A [Session] is a picture of one
moment, safe for concurrent use, but its values are shared by the hooks that get
it: do not change them. The hooks of one end run one after the other; those of
different ends run at the same time, up to [WithConcurrency]. Created hooks run
in the request.
*/
package lifecycle
