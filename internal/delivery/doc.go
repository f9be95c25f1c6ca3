// Package delivery runs the hooks of sessions that have ended: a bounded number at a time,
// each end until its hooks have succeeded or have failed too often.
//
// # Words
//
// The end of a session is written in Redis. An instance needs the claim to run the hooks of
// the end. Redis gives the claim to one instance at a time. A claim holds for as
// long as its lease, a span of time that its holder renews. When a lease is over, because
// its holder has died or cannot reach Redis, another instance may take the claim over.
// Redis keeps the time of the lease in the due-index, the sorted set that says when each
// session next needs a look, so an end whose holder is gone is found like a session whose
// time is over.
//
// With an ack the holder reports that all hooks have succeeded, and the end is finished. A
// holder can also release a claim, to be claimed again at once or after a pause, or bury
// the end in the dead set, where it waits for an operator. These three are settlements.
// Redis refuses one that does not come from the current holder.
//
// Not everything that is submitted is a claim. News says that a session has ended whose
// claim another instance has; this instance runs only its closures, the hooks that its own
// handlers have registered for that session. News has no lease, and there is nothing to settle.
//
// # States
//
//	┌───────────┐  Reserve: room is kept for claims that the caller is about to ask for
//	│ reserved  │
//	└─────┬─────┘
//	      │ Submit
//	      ▼
//	┌───────────┐  its lease is over ─────────────▶ let go; found again when it is due
//	│  waiting  │  its lease is lost ─────────────▶ let go; another instance has it
//	└─────┬─────┘  too many hooks hang, draining ─▶ settling, as a release
//	      │ a worker is free
//	      ▼
//	┌───────────┐  its lease is lost ─────────────▶ no further hook starts; let go
//	│  running  │
//	└─────┬─────┘  its lease is over, shutdown ──▶ no further hook starts
//	      │ the hooks have returned
//	      ▼
//	┌───────────┐
//	│ settling  │  Redis does not answer ─────────▶ settling again, after a pause
//	└─────┬─────┘
//	      │ Redis has answered
//	      ▼
//	┌───────────┐
//	│  settled  │  finished, released for a retry, or in the dead set
//	└───────────┘
//
// A hook that has failed is retried: the claim is released with a pause that doubles with
// each attempt, and whichever instance claims the end then runs the hooks that have not
// succeeded yet, or all of them if it is another instance. After Retry.Attempts attempts
// the end is buried.
//
// The lease of a claim is
//   - renewed: every third of its time, as long as the claim is waiting, running or
//     settling;
//   - lost: Redis says at a renewal that another instance has the claim;
//   - over: its time has passed by this process's own clock, counted from just before the
//     claim, or its last renewal, was asked for. Nobody needs to say so.
//
// The runner calls Lease.Check before each global hook. Lease.Check returns an error when
// the lease is lost or over, and at a shutdown.
//
// Drain puts the delivery into draining. It takes no new claims, releases those that wait,
// and waits for running hooks. When the context of Drain ends, it cancels the hooks' own
// context and releases their claims too.
//
// # What happens at each failure
//
//   - Redis is away: hooks that run go on, and others start as long as their leases last.
//     What has to be settled waits, and is tried again until Redis answers. If that takes
//     longer than the lease, another instance may run the hooks again, as a further
//     attempt.
//   - Redis refuses a settlement for want of memory: it is tried again apart from the
//     others, since an ack frees memory and goes through.
//   - The process was stopped for long: when it goes on, its leases are over. No hook
//     starts under them, and an ack of what was running is refused if another instance
//     has taken over.
//   - The reply to a settlement is lost: the settlement is sent again. Redis ignores it,
//     because the claim is settled already, and nothing more needs to be done.
//   - The reply to a renewal is lost: the lease counts from the last renewal whose reply
//     came. The next try comes within 200 milliseconds.
//   - A hook fails or panics: see retried, above.
//   - A hook hangs: package hook leaves it behind when its time is over, and its end is
//     retried. While as many hooks hang as there are workers, Reserve returns 0 and claims
//     that wait are released, so that other instances run them.
//   - A server of a cluster goes away: each server has a settler of its own, so the
//     settlements of the others go on. Renewals have a bound of a third of a lease.
//   - The dead set of a bucket was overwritten by something else: an end that belongs
//     there is put off by the longest pause instead.
//
// # What it may touch
//
// Through the ledger: claims, leases, and the dead set. It names no keys and registers no
// hooks; which hooks an end has, the Runner knows.
//
// Goroutines: as many workers as Config.Workers, one that renews leases, and one settler
// for each server that has something to settle. Drain ends all of them.
package delivery
