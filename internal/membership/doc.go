// Package membership decides which instance of the application looks after which bucket.
//
// A bucket is a fixed share of all sessions, chosen by session ID. An instance that looks
// after a bucket reads the bucket's due-index, the sorted set in Redis that says when each
// session next needs a look, and finds the sessions that have ended.
//
// # How it works
//
// Each instance writes its name into Redis with every heartbeat, and gets back the names
// of all instances that are alive. From this list each instance computes which buckets
// are its own, by rendezvous hashing: every instance and bucket give a number, and the
// instance with the highest number has the bucket. Instances with the same list come to
// the same result, with no election and no lock, and an instance that comes or goes moves
// only its own share of the buckets.
//
// The instance that has bucket 0 is the leader. The leader alone listens to keyspace
// notifications.
//
// An instance that only serves (Config.ServesOnly) is on another list. It has no
// buckets, is never the leader, and the others leave it out when they compute theirs.
//
// Two instances may have different lists for a moment, and both look after the same
// bucket, or none does. Neither breaks a guarantee: only one of two instances gets a
// claim, the right to run the hooks of an end, because Redis gives it in one atomic
// script; and a bucket that nobody looked after is looked at when somebody has it again.
//
// # States
//
//   - Outside: before the first heartbeat has succeeded, and while Events.Ready returns
//     false. The instance looks after no bucket.
//   - Member: the heartbeat has succeeded once. Events.Changed has been called with the
//     buckets, and is called again when the list has changed.
//
// Run goes back from member to outside when Events.Ready returns false, as it does while
// too many hooks hang, and when its context ends. It then takes the instance off the list
// and tells the others, so that they take over at once.
//
// # What happens at each failure
//
//   - Redis is away: the heartbeat fails. The instance keeps the buckets that it has, since
//     nobody else can take them over either, and tries again with the next heartbeat.
//   - The process is killed, or was stopped for long: after three missed heartbeats it is
//     off the others' lists, and they look after its buckets. A process that goes on is on
//     the list again with its next heartbeat.
//   - The reply to a heartbeat is lost: the others see this instance, and this instance
//     keeps its old list until the next heartbeat.
//   - The message that the list has changed is lost: the others find out with their next
//     heartbeat. Such a message only brings a heartbeat forward, ten times in an interval
//     at most, because anybody who may publish in Redis can send it.
//   - The data in Redis is gone, by FLUSHALL or because another server answers: the
//     heartbeat finds that out and calls Events.DataLost.
//   - The server of a cluster that has the list goes away: as if all of Redis were away,
//     for heartbeats only. The work on the other servers goes on.
//
// # What it may touch
//
// It writes the lists of instances, uses the channel that announces changes of that list,
// and reads the key that says whether the data in Redis is still the same
// (Ledger.Foundation). Everything happens in the goroutine that calls Run; only Poke may be
// called from others.
package membership
