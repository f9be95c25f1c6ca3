package faults

import "testing"

// The checker finds hooks that run for a live session, and hooks that get a false reason.
func TestCheckerReasons(t *testing.T) {
	tales{
		"before the idle timeout": {"I2", func(x *tale) {
			x.born()
			x.say(x.a, 980, claimed, "token", 1)
			x.run(x.a, 990, "h1", 1)
			x.run(x.a, 1010, "h2", 1)
		}},
		"a request after the end": {"I2", func(x *tale) {
			x.born()
			x.e.askedToEnd(taleID, at(900))
			x.end(x.a, 1000, "destroyed")
			x.e.responded(taleID, at(1015)) // after the first hook's start, before the second's
		}},
		"Get returns the session as live": {"I2", func(x *tale) {
			x.born()
			x.handle(x.a, 1000, 1)
			x.say(x.a, 1011, alive, "h1", 1)
		}},
		"destroyed": {"", func(x *tale) {
			x.born()
			x.e.askedToEnd(taleID, at(500))
			x.end(x.a, 500, "destroyed")
		}},
		"destroyed, and no visitor had asked": {"I2", func(x *tale) {
			x.born()
			x.e.askedToEnd("another", at(500))
			x.end(x.a, 500, "destroyed")
			x.oneRun()
		}},
		"destroyed before a visitor asked": {"I2", func(x *tale) {
			x.born()
			x.end(x.a, 500, "destroyed")
			x.e.askedToEnd(taleID, at(511))
			x.e.askedToEnd(taleID, at(600))
		}},
		"destroyed by a visitor who got no response": {"", func(x *tale) {
			x.say(x.a, 1, created, "c1", 0)
			x.end(x.a, 500, "destroyed")
		}},
		"evicted": {"", func(x *tale) {
			x.born()
			x.e.evicted = []window{{at(400), at(600)}}
			x.end(x.a, 700, "evicted")
		}},
		"deleted, and no live key was": {"I2", func(x *tale) {
			x.born()
			x.e.evicted = []window{{at(800), at(900)}}
			x.end(x.a, 700, "deleted")
			x.oneRun()
		}},
		"evicted before it was seen": {"I2", func(x *tale) {
			x.born()
			x.e.responded(taleID, at(650))
			x.e.evicted = []window{{at(400), at(600)}}
			x.end(x.a, 700, "evicted")
			x.oneRun()
		}},
		"lost by a flush": {"", func(x *tale) {
			x.born()
			x.e.lostToFlush([]string{taleID}, nil)
			x.end(x.a, 700, "lost")
		}},
		"lost without a flush": {"I2", func(x *tale) {
			x.born()
			x.e.lostToFlush([]string{"another"}, nil)
			x.end(x.a, 700, "lost")
			x.oneRun()
		}},
		"a global hook for an end of which only a tombstone was left": {"I2", func(x *tale) {
			x.born()
			x.e.lostToFlush(nil, []string{taleID})
			x.end(x.a, 700, "lost")
			x.oneRun()
		}},
		"lost, because its record was not saved": {"", func(x *tale) {
			x.born()
			x.e.unsaved = []window{{at(0), at(600)}}
			x.end(x.a, 700, "lost")
		}},
		"absolute timeout": {"", func(x *tale) {
			x.e.seeding(taleID, at(1000))
			x.e.seeded(taleID, at(0))
			x.end(x.a, 1000, "absolute timeout")
		}},
		"before the absolute timeout": {"I2", func(x *tale) {
			x.e.seeding(taleID, at(1015)) // h1 runs at 1010
			x.e.seeded(taleID, at(0))
			x.end(x.a, 1000, "absolute timeout")
		}},
		"an absolute timeout that the session does not have": {"I2", func(x *tale) {
			x.born()
			x.end(x.a, 1000, "absolute timeout")
			x.oneRun()
		}},
		"idle timeout of an hour": {"I2", func(x *tale) {
			x.e.seeding(taleID, at(1000))
			x.e.seeded(taleID, at(0))
			x.handle(x.a, 1000, 1)
			x.oneRun()
		}},
		"a session that a hook began": {"", func(x *tale) {
			x.say(x.a, 1, created, "c1", 0)
			x.end(x.a, 10, "by a hook")
		}},
		"a visitor's session ended by a hook": {"I2", func(x *tale) {
			x.born()
			x.end(x.a, 10, "by a hook")
			x.oneRun()
		}},
		"a reason that no test gives": {"I2", func(x *tale) {
			x.born()
			x.end(x.a, 1000, "revoked")
			x.oneRun()
		}},
	}.judge(t)
}

// The checker excuses what an instance does while it is cut off, and nothing else.
func TestCheckerSplit(t *testing.T) {
	apart := func(x *tale) {
		x.born()
		x.e.apart, x.e.split = x.b, window{at(400), at(1100)}
	}
	tales{
		"early, on the instance that is cut off": {"", func(x *tale) {
			apart(x)
			x.handle(x.b, 500, 1)
			x.say(x.b, 511, alive, "h1", 1)
			x.e.responded(taleID, at(550))
		}},
		"early, on another instance": {"I2", func(x *tale) {
			apart(x)
			x.handle(x.a, 985, 1) // the first hook before its time, the second after it
		}},
		"early, before the split": {"I2", func(x *tale) {
			apart(x)
			x.e.split.from = at(999)
			x.handle(x.b, 985, 1)
		}},
		"live, after the split": {"I2", func(x *tale) {
			apart(x)
			x.handle(x.b, 1050, 1)
			x.say(x.b, 1101, alive, "h1", 1)
			x.e.split.to = at(1100)
		}},
	}.judge(t)
}

// oneRun gives the second hook of the end a time and a reason that are right, so that the
// first hook is the only violation.
func (x *tale) oneRun() {
	for i, e := range x.events {
		if e.kind == started && e.hook == "h2" {
			x.events[i].at, x.events[i].reason = at(5000), "idle timeout"
			if x.e.sessions[taleID].seeded {
				x.events[i].reason = "absolute timeout"
			}
		}
	}
}

// The checker finds closures that run not at all, twice, on another instance, too
// early, or with a false reason.
func TestCheckerClosures(t *testing.T) {
	tales{
		"a closure": {"", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.say(x.b, 1010, closure, "0", 1)
			x.handle(x.a, 1000, 1)
		}},
		"never ran": {"I6", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.handle(x.a, 1000, 1)
		}},
		"of an instance that was killed": {"", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.b.stopped(at(30_000), true)
			x.handle(x.a, 1000, 1)
		}},
		"of an instance that was killed long after the end": {"I6", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.b.stopped(at(62_000), true)
			x.handle(x.a, 1000, 1)
		}},
		"ran twice": {"I6", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.say(x.b, 1010, closure, "0", 1)
			x.say(x.b, 1011, closure, "0", 1)
			x.handle(x.a, 1000, 1)
		}},
		"ran on another instance, too": {"I6", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.say(x.b, 1010, closure, "0", 1)
			x.say(x.a, 1010, closure, "0", 1)
			x.handle(x.a, 1000, 1)
		}},
		"before the session's time": {"I2", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.say(x.b, 990, closure, "0", 1)
			x.handle(x.a, 1000, 1)
		}},
		"while the session is live": {"I2", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.e.askedToEnd(taleID, at(200))
			x.because(x.b, 300, closure, "0", 1, "destroyed")
			x.e.responded(taleID, at(400))
			x.handle(x.a, 2000, 1)
		}},
		"as lost, without a flush": {"I2", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.because(x.b, 1010, closure, "0", 1, "lost")
			x.handle(x.a, 1000, 1)
		}},
		"as lost, because a flush took the tombstone": {"", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.handle(x.a, 1000, 1)
			x.e.lostToFlush([]string{"another"}, []string{taleID, "another"})
			x.because(x.b, 2000, closure, "0", 1, "lost")
		}},
		"as lost, because the tombstone was evicted": {"", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.handle(x.a, 1000, 1)
			x.e.evicted = []window{{at(1500), at(1600)}}
			x.because(x.b, 2000, closure, "0", 1, "lost")
		}},
		"as lost, and keys were evicted only before the end": {"I2", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.e.evicted = []window{{at(500), at(600)}}
			x.handle(x.a, 1000, 1)
			x.because(x.b, 2000, closure, "0", 1, "lost")
		}},
		"at the shutdown, while the session is live": {"", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.b.shutdown = at(199)
			x.because(x.b, 200, closure, "0", 1, "shutdown")
			x.e.responded(taleID, at(300))
			x.handle(x.a, 2000, 1)
		}},
		"at a shutdown that the test did not ask for": {"I6", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.b.shutdown = at(300)
			x.because(x.b, 200, closure, "0", 1, "shutdown")
			x.handle(x.a, 2000, 1)
		}},
		"a global hook at the shutdown": {"I2", func(x *tale) {
			x.born()
			x.end(x.a, 1000, "shutdown")
			x.oneRun()
		}},
	}.judge(t)
}
