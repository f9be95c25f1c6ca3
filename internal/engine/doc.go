// Package engine is what runs beside the requests of an application: it finds the ends of
// sessions and has their hooks run, once for the whole fleet of instances.
//
//	topology   -- which servers there are --> reapers, listener, preflight
//	membership -- which buckets are ours  --> reapers, listener, dead set
//	listener   -- messages and events     --> reapers, sweeper, membership
//	reapers    -- claims of ends          --> delivery --> Hooks
//	sweeper    -- ends on other instances --> delivery --> Hooks
//
// # Words
//
// The sessions of a fleet are divided into buckets, and the instances divide the buckets
// among themselves. In each bucket the due-index, a sorted set in Redis, says when each
// session needs a look. A claim is the right of one instance to run the global hooks of an
// end, for the time of its lease; an ack tells Redis that they have run. A closure is a
// hook that a handler registered for one session; it runs on the instance that has it. The
// dead set holds the ends whose hooks have failed for good.
//
// # States
//
// An Engine runs from Start until Stop; it cannot be started again. While it runs it is
//
//   - healthy: heartbeats succeed, and the instance looks after its buckets.
//   - without Redis: heartbeats fail, because Redis is away or refuses the client's user
//     name or password; the log says which. The instance keeps its buckets, and every part
//     tries again. Ends wait in Redis. When heartbeats succeed again it looks at everything.
//   - full: as many hooks ignore their context as may run at the same time. The instance
//     gives up its buckets, and the other instances look after them, until some hooks
//     have returned. It sends no heartbeats meanwhile, so the log says nothing of Redis
//     going away or coming back in that time.
//
// An engine that only serves (Config.ServesOnly) has no buckets, claims nothing and is never
// full. It runs closures only. If all engines are such, the log says that nobody runs the
// global hooks.
//
// # Failures
//
// Each part survives the failures of Redis by itself; see their packages. If the data in
// Redis is gone, flushed or replaced, the engine has the sweeper query all sessions that
// have closures here: closures are all that can still run for them.
//
// # What it may touch
//
// The engine knows sessions by their IDs and ends; it knows neither requests nor values,
// and calls hooks through Hooks only. It gets its settings as values in Config. Every
// part is made from a Config of its own, and runs in Run until its context ends; a new
// part that needs a loop is made in the same way and started in Start.
package engine
