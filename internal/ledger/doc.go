// Package ledger keeps the state of sessions in Redis. It is the only code that names a
// Redis key or channel.
//
// Every change of a session's state is one Lua script. Redis runs a script as one atomic
// step, so two instances of the application can never both make the same change. The
// scripts are in the folder lua. The head of each file says what the script reads, what it
// replies, and what holds before and after it.
//
// # Words
//
//   - ID, secret, token: the cookie's value is the token. It consists of the session's
//     public ID and a secret that only the visitor has. See package token.
//   - Proof: a hash of the secret. Redis has the proof and never the secret.
//   - Live key: the key whose existence says that the session is live. Its time to live is
//     the session's, and its name contains the proof.
//   - Record: everything that is stored about a session, packed into one string. See
//     package record.
//   - Revision: a number that each save of a record changes. A save that was made from an
//     older record than the present one writes nothing, see Save.
//   - Bucket: a fixed share of all sessions, chosen by ID. All keys of a bucket have the
//     same hash tag, so a Redis Cluster keeps them in one slot, and one script may touch
//     them.
//   - Due-index: a sorted set for each bucket. Each entry is a session's ID, and its score
//     is the time at which the session needs a look. The first entry, or the first few, is
//     the head of the due-index.
//   - Look: reading the state of a session and doing what is needed. A look moves the due
//     entry of a live session to the deadline of its live key. A look ends a session whose
//     live key is gone, and claims an end that nobody holds.
//   - End: the one transition of a session from live to ended, with a reason.
//   - Claim: the right to run the hooks of an end. One instance at a time has it. A claim
//     has a lease; the score of the end in the due-index is the time at which the lease is
//     over. After that another instance may take the claim over. To settle a claim is to
//     ack, release or bury it.
//   - Dead set: a sorted set for each bucket, of the ends whose hooks have failed too often.
//   - Closure: a hook that a handler registered for one session. It lives in the memory of
//     one instance.
//   - Watchers: the instances that hold closures of a session. The watch set names them.
//   - Tombstone: what is kept of an ended session for instances that hold closures of it.
//   - Past: what is remembered of a finished end for the visitor who still has the token. It
//     stands in the session key, in place of the record.
//   - Foundation: the key that is written once for each prefix. It holds the number of
//     buckets and a random mark, by which an instance finds out that the data in Redis was
//     deleted or replaced.
//   - Server: a Redis server together with the buckets on it. Without a cluster there is one.
//
// # Keys
//
// P is the prefix and b the number of the bucket.
//
//	P:{b}:live:<id>:<proof>  string  existence means live; its time to live is the session's,
//	                                 its value the revision of the record
//	P:{b}:session:<id>       string  the record; after the end is finished, its past
//	P:{b}:end:<id>           hash    of an ended session: reason, at, left, attempt, by, done, error, seen
//	P:{b}:watch:<id>         set     the watchers; exists only while there are any
//	P:{b}:due                zset    ID by the time, in Unix ms, at which it needs a look
//	P:{b}:dead               zset    ID by the time, in Unix ms, at which its end was buried
//	P:instances              zset    instance by its last heartbeat, in Unix ms
//	P:serving:{P:instances}  zset    the same, of the instances that claim no ends
//	P:buckets                string  the foundation
//
// The field by of an end is the claim that is in force, or empty. Only the live key, a
// tombstone and a past have a time to live. So an eviction policy that evicts keys with a time to
// live may end a session, but cannot lose the record of an end that is still to be
// handled.
//
// The channels are P:{b}:wake (the bucket has a new first due entry), P:instance:<name>
// (messages to one instance) and P:instances (an instance has come or gone, or a session has a
// shorter idle timeout). Messages are
// hints: if one is lost, the next look or the next heartbeat finds out the same.
//
// # States of a session
//
//	           create         end with a claim,
//	nothing ──────────▶ live  or look after the live key has gone
//	                     │ └──────────────────────┐
//	 end without a claim │                        │
//	                     ▼           look         ▼
//	              ┌───────────────┐────────▶┌───────────┐  ack
//	              │ ended and due │         │  claimed  │────────▶ nothing, or,
//	              └───────────────┘◀────────└─────┬─────┘          while other
//	                     ▲         release, or    │                instances hold
//	                     │         lease is over  │ bury           closures of it,
//	                     │                        ▼                a tombstone
//	                     │                  ┌───────────┐            ▲
//	                     └──────────────────│  buried   │────────────┘
//	                           retry        └───────────┘    drop
//
// Which keys of the session exist in each state:
//
//	state          live   session  end                due entry                dead entry
//	live           yes    yes      no                 not after the deadline   no
//	ended and due  no     yes      yes                when it may be claimed   no
//	claimed        no     yes      yes, by is set     when the lease is over   no
//	buried         no     yes      yes                no                       yes
//	tombstone      no     short    short              no                       no
//	past           no     past     no                 no                       no
//	nothing        no     no       no                 no                       no
//
// The state past comes in place of nothing, after an ack, a drop or an unwatch, for the time
// of Config.Remember, if that is not 0. A session whose record was lost, or is in a format of
// an earlier release, has none. Nor has one that expired before a request has prolonged it.
//
// Short means that the key has a time to live, given by the caller of Settle or DropDead.
// The watch set exists in any state but the last two, if there are watchers; of a tombstone it
// is short too. A session whose record was lost has no session key from its end on.
//
//   - Live: the due entry is a lower bound. A request prolongs the live key and leaves the
//     due entry alone, so the look that is due finds the session live and moves the entry.
//     When the live key is gone, because it has expired or was evicted or deleted, no
//     request finds the session any more. The next look writes its end.
//   - Ended and due: the hooks have still to run, and no claim is in force. The time of the
//     due entry is now, or later after a release with a delay.
//   - Claimed: one instance runs the hooks, and renews the lease (renew). When the lease is
//     over the end is due again. The claim is still written in the end, and its holder may
//     still settle it until another instance has claimed the end.
//   - Acked: all hooks have succeeded. Nothing is left, or the past, or a tombstone.
//   - Released: the same as ended and due. The end keeps the attempt, the hooks that have
//     succeeded and the text of the last error.
//   - Buried: the end waits in the dead set for an operator, who retries or drops it.
//   - Tombstone: the last watcher removes it (unwatch), or its time to live does. Only the
//     former leaves a past.
//   - Past: no script changes it, and it goes by its time to live. The visitor's next request
//     finds it in the round trip that reads the record (Load), and tells it only to a token
//     that it proves. It is no record, so no session can be read from it.
//
// What each script does:
//
//	create     nothing → live
//	save       live → live, with another record and perhaps other timeouts
//	restore    live → live, with the time to live from before a request
//	rotate     live → live, with another secret
//	watch      live → live, with one more watcher
//	look       live → live, with a later due entry; live → claimed, if the live key is gone
//	           or the absolute deadline is over; ended and due → claimed
//	end        live → claimed, or live → ended and due
//	renew      claimed → claimed, with a later lease
//	ack        claimed → nothing, past or tombstone
//	release    claimed → ended and due
//	bury       claimed → buried
//	retry      buried → ended and due
//	drop       buried → nothing, past or tombstone
//	unwatch    takes a watcher away in any state; tombstone → nothing or past with the last one
//	postpone   moves due entries; changes no state
//	heartbeat  notes an instance; touches no session
//
// Requests read and prolong a session with three plain commands, without a script (Load). Touch
// prolongs sessions with one.
//
// # Time
//
// Scripts take the time from Redis. The clock of the machine that the application runs on
// decides nothing. A Clock estimates the time of a Redis server between two replies. The
// estimate only says when it is worth calling Redis.
//
// # What happens at each failure
//
//   - Redis is away: every call returns an error, after Config.Timeout at the latest if the
//     client heeds deadlines (IgnoresDeadlines). The state stays as it was. The ledger
//     itself does not repeat a call that got no answer; go-redis repeats a call whose
//     connection broke.
//   - A reply is lost: the caller does not know whether the script has run, and calls
//     again. A create, save or rotate, and an end or look with the same claim, recognize
//     what the first call has done and give the same reply. A repeated ack, release or bury
//     finds that the claim is settled, changes nothing, and returns OK false.
//   - Redis is out of memory: it refuses a script only at the script's first write, and it
//     never refuses to delete. So a script that is refused has changed nothing, and one
//     that is not refused runs to its end. An end, an ack, a drop and an unwatch begin by
//     deleting and work without memory, also where they leave a past.
//   - A key was overwritten by something that is not lifecycle: if it belongs to one
//     session, only that session has trouble: the script is repeated for each session by
//     itself, and the result names the one that it fails for (Looked.Unreadable,
//     Settled.Overwritten). An overwritten record counts as lost, and an overwritten watch
//     set names nobody. If the key is a due-index or a dead set, the ends of its bucket
//     wait until somebody deletes the key (Head.Err). Numbers that lifecycle cannot have
//     written count as not known.
//   - A due-index has entries that lifecycle cannot have written: those that name no
//     session of the bucket are left out (Head.NotSessions), and those with impossible
//     times are named, so that the caller can give them another time
//     (Head.ImpossibleTimes, Postpone).
//   - A slot moves from one cluster server to another: while a part of the keys is here and
//     a part there, Redis refuses the script before it runs. IsMoving recognizes the error,
//     and Looked.Moving says so for a bucket. When the move is complete the call is
//     redirected.
//   - A cluster has a new master: an error that may come from that makes the cluster's
//     client read again which server has which slot.
//   - A server does not know a script, because it was restarted or flushed: the script's
//     source is sent along, in pipelines too.
//   - The data is gone: Foundation reports it.
//
// # What it may touch
//
// The keys and channels above, and through ReloadServers the slot map of a cluster's client.
// It starts goroutines only within a call and waits for them. It logs nothing. It knows
// neither hooks nor requests, and imports none of this module's packages but token and
// reply.
package ledger
