/*
Package lifecycle tells a gin application when a session begins and when it
ends.

Sessions are kept in Redis by a [Store], behind the API of
github.com/gin-contrib/sessions. Created hooks run in the request that begins a
session. Destroyed hooks run when a session expires, is logged out, revoked, deleted,
evicted or lost. They get the session's values and the reason, and they run on one
instance of the application. A handler registers cleanup for its own session with
[Context.OnSessionDestroyed].

	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", ContextTimeoutEnabled: true})
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

(With ContextTimeoutEnabled the client obeys the deadlines of contexts, which the store
needs; see [NewStore] for what happens without it.)

# How the pieces fit

[NewStore] makes a store on a go-redis client. [New] makes a manager for a store. The
package-level functions use the default manager ([Default]), which serves the store of
the first request or of [Start]. Register hooks before [Start], and before the first
request; a later registration panics.

[Manager.Middleware] gives each request its session. [Manager.Start] starts the
background work, which finds ended sessions and runs their hooks; without Start the
first request starts it. [Manager.Shutdown] stops it. [Manager.Run] starts it, serves
HTTP, and stops both in the right order.

In a handler, [Handler] or [From] give a [Context]. Read and write values with
[Context.Values] or sessions.Default, and Save, as with any store of gin-contrib/sessions. [Manager.Get],
[Manager.All], [Manager.Count] and [Manager.Destroy] are for administrators. So are
[Manager.Dead], [Manager.RetryDead] and [Manager.DropDead], for ended sessions whose
hooks have failed for good. [Manager.Stats] is for monitoring.

# Words

A session is the server-side state of one visitor. An instance is one running process of
the application; here, one [Manager] that has been started. A fleet is all instances
that have the same Redis and the same prefix. The prefix ([WithPrefix]) begins the names
of all Redis keys of a store. A server is one Redis server; a cluster has several.

  - ID: the public name of a session, the same for its whole life. It may be logged and
    shown, and hooks may use it as an idempotency key.
  - Secret, token: only the visitor knows the secret of his session. ID and secret
    together are the token, which is the cookie's value. Redis holds a part of a SHA-256
    over the secret, never the secret itself. A rotation gives the session a new secret.
  - Live key: the Redis key that exists as long as the session is live.
  - Record: the session's values and what is known about it, in a second Redis key. The
    record stays in Redis until the hooks of the ended session have run.
  - End: the moment at which a session stops being live, with a [Reason]. It happens once.
  - Idle timeout: a session ends when no request has come for this time
    ([WithIdleTimeout]).
  - Absolute timeout: a session ends at this age at the latest, however busy it is
    ([WithAbsoluteTimeout]).
  - Created hook, destroyed hook: a function that the application registered for all
    sessions, with [OnSessionCreated] and [OnSessionDestroyed]. They are called global
    where they must be distinguished from closures.
  - Closure: a hook that a handler registered for one session, with
    [Context.OnSessionDestroyed]. It exists only in the memory of its process.
  - Rotation: a new secret for a session ([Context.RotateSession]), at login above all.
  - Withheld: in some requests no session may begin, for example in those that another
    site makes the browser send ([ErrSessionWithheld]).
  - Unconfirmed: a new session whose cookie the client has not sent back yet
    ([WithUnconfirmedTimeout]).
  - Bucket: a fixed share of all sessions, by ID. Instances divide the buckets among
    themselves; each instance looks after its buckets, which means that it finds the
    sessions in them that have ended. Each bucket has a due-index, a sorted set in Redis
    that says when each session needs a look. In a look the instance checks whether the
    session's live key still exists, and ends the session if it does not.
  - Worker: an instance that runs destroyed hooks for others, which have [WithoutDelivery]
    and only serve.
  - Heartbeat: what each instance writes to Redis every second to show that it is alive.
  - Keyspace notification: a message of Redis that a key has expired, or was deleted or
    evicted ([WithNotifications]).
  - Claim, lease: a claim is the right of one instance to run the destroyed hooks of an
    ended session. It is valid for the time of its lease, which the instance renews. If
    the instance crashes, another one claims the end after that time. With an ack the
    instance tells Redis that the hooks have run.
  - Dead set: the ends whose destroyed hooks have failed as often as [WithRetry] allows.
    They are buried there until they are retried or dropped ([Manager.Dead]).
  - Hung: a hook that has not returned although its context has ended.
  - Tombstone: the record of an ended session that is kept for a while, because other
    instances have closures of the session that have not run.

# What is promised

  - A session that began ends exactly once: the end is one atomic step in Redis. A Save
    never revives an ended session; it returns [ErrSessionEnded].
  - The destroyed hooks of [OnSessionDestroyed] run at least once for every end, and
    exactly once if nothing crashes and no hook fails. [Session.Attempt] counts. They
    never run for a live session.
  - The created hooks run before the destroyed hooks. [Context.RotateSession] is not an
    end.
  - The closures, registered with [Context.OnSessionDestroyed], run once, in the process
    that registered them: when the session ends, or at [Manager.Shutdown] with
    [ReasonShutdown], never both. A closure that was taken back or replaced ([Key]) does
    not run, and [NotAtShutdown] leaves the shutdown out.
  - A hook that fails, panics or hangs harms no other hook, session or request.
  - While Redis is away, requests fail with [ErrUnavailable] and hooks wait. Everything
    goes on by itself when Redis is back.
  - Nothing needs CONFIG or keyspace notifications.

What Redis itself loses cannot be restored: by FLUSHALL, by a crash before the last writes
were synced to the append-only file, or by a failover without the last writes. For such
sessions only the closures in running instances are called, with [ReasonLost]. All limits
are listed in docs/guarantees.md of the repository.

# Concurrency

Store and Manager are safe for concurrent use. A [Context] and the gin-contrib session
belong to the goroutine of their request, and cannot change anything when it is over. A [Session] shows one moment and is safe for
concurrent use, but all hooks that get it share its values: do not change them. The
hooks of one end run one after the other; the hooks of different ends run at the same
time, for as many ends as [WithConcurrency] says. Created hooks run in the request.
*/
package lifecycle
