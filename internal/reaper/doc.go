// Package reaper finds the sessions that have ended, and gets the right to run their
// hooks.
//
// # Words
//
// A bucket is a fixed share of all sessions, chosen by session ID. Each bucket has a
// due-index in Redis: a sorted set of session IDs, each with the time at which the session
// next needs a look. A look is a script that runs in Redis. For a session that is live it
// moves the entry in the due-index to the time at which the session is over if nobody uses
// it. For a session whose time is over it writes the session's end. It then gives the
// caller the claim: the right to run the hooks of that end, which one instance has at a
// time, for the time of a lease. While there is a claim, the entry in the due-index is the
// time at which the lease is over, so an end whose holder has died is found again in the
// same way. The entry goes when the hooks have succeeded, with the ack of the holder.
//
// A hint is a message that a session's live key has expired, or was deleted or evicted. It
// makes the reaper look at that session at once. Hints are never believed: the look finds
// out whether the session has ended.
//
// # How it works
//
// There is one Reaper for each server that has buckets of this instance. It knows, for each
// of its buckets, when the first entry of the due-index is due. Until the earliest of these
// times it sleeps. It wakes up earlier when
//   - another instance says that a bucket has a new first entry,
//   - a hint comes,
//   - the instance gets other buckets, or something may have been missed, as after Redis was
//     away, or
//   - Config.Interval has passed: then it reads the first entry of every bucket again, in
//     one round trip, in case a message was lost.
//
// It then looks at what is due and at what hints name, in turns, so that a flood of one
// kind does not keep the other waiting. It claims no more than the Sink has room for. Few
// entries of a bucket are read where few were due the last time.
//
// # States
//
//   - Sleeping: nothing is due, and no hint waits.
//   - Looking: there is something to look at. Claims go to the Sink as they are found.
//   - Full: the Sink has no room. The reaper looks at nothing until there is more room, or
//     Config.Interval has passed.
//   - Failing: a call to Redis has failed. The reaper waits, from about 50 milliseconds up
//     to about 3 seconds, and tries again. Hints wait meanwhile.
//
// # What happens at each failure
//
//   - Redis is away: failing, see above. Ends that come due meanwhile are found when Redis is
//     back, because the due-index is part of the data.
//   - Redis is back, and the lease of a claim that the Sink still works on has run out: the
//     reaper does not claim that end again, because its own ack or renewal is on its way.
//   - The process was stopped for long: its buckets are looked after by other instances by
//     then. When it goes on, both look, and Redis gives each claim to one of them.
//   - The reply to a look is lost: go-redis may send the look again, and it then gets the
//     same claims. Otherwise no instance knows that it has these claims, and the ends are
//     claimed again when the lease is over, as a further attempt.
//   - Hooks hang: while too many of them hang, the Sink has no room.
//   - A server of a cluster does not answer: only the Reaper of that server fails. When the
//     server is gone, its buckets are given to the Reaper of the server that has them now.
//   - The slot of a bucket is being moved between servers: its sessions are looked at again
//     every 100 milliseconds until it has arrived.
//   - Something else has written to these keys: what belongs to one session troubles that
//     session only, is logged once, and hides no other session. See overwritten.go.
//
// # What it may touch
//
// Through the ledger: the due-indexes, and the sessions that it looks at. It names no keys,
// and it runs no hooks.
//
// Each Reaper has one goroutine, which Run starts and ends. All other methods only leave a
// note for that goroutine: they never wait for Redis.
package reaper
