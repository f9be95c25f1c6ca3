package faults

import "testing"

// Whether hooks run for the living, and are told the truth.
func TestCheckerReasons(t *testing.T) {
	tales{
		"before its time": {"I2", func(x *tale) {
			x.born()
			x.say(x.a, 980, claimed, "token", 1)
			x.run(x.a, 990, "h1", 1)
			x.run(x.a, 1010, "h2", 1)
		}},
		"a request after it": {"I2", func(x *tale) {
			x.born()
			x.e.askedToEnd(taleID, at(900))
			x.end(x.a, 1000, "destroyed")
			x.e.answered(taleID, at(1015)) // after the first hook's start, before the second's
		}},
		"told that it lives": {"I2", func(x *tale) {
			x.born()
			x.handle(x.a, 1000, 1)
			x.say(x.a, 1011, alive, "h1", 1)
		}},
		"destroyed": {"", func(x *tale) {
			x.born()
			x.e.askedToEnd(taleID, at(500))
			x.end(x.a, 500, "destroyed")
		}},
		"destroyed, and nobody had asked": {"I2", func(x *tale) {
			x.born()
			x.e.askedToEnd("another", at(500))
			x.end(x.a, 500, "destroyed")
			x.oneRun()
		}},
		"destroyed before anybody asked": {"I2", func(x *tale) {
			x.born()
			x.end(x.a, 500, "destroyed")
			x.e.askedToEnd(taleID, at(511))
			x.e.askedToEnd(taleID, at(600))
		}},
		"destroyed by a visitor who was told nothing": {"", func(x *tale) {
			x.say(x.a, 1, created, "c1", 0)
			x.end(x.a, 500, "destroyed")
		}},
		"evicted": {"", func(x *tale) {
			x.born()
			x.e.evicted = []window{{at(400), at(600)}}
			x.end(x.a, 700, "evicted")
		}},
		"deleted, and nobody had": {"I2", func(x *tale) {
			x.born()
			x.e.evicted = []window{{at(800), at(900)}}
			x.end(x.a, 700, "deleted")
			x.oneRun()
		}},
		"evicted before it was seen": {"I2", func(x *tale) {
			x.born()
			x.e.answered(taleID, at(650))
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
		"a global hook for what a tombstone is left of": {"I2", func(x *tale) {
			x.born()
			x.e.lostToFlush(nil, []string{taleID})
			x.end(x.a, 700, "lost")
			x.oneRun()
		}},
		"lost, as its record was not saved": {"", func(x *tale) {
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
		"an absolute timeout that it does not have": {"I2", func(x *tale) {
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
		"a hook's session": {"", func(x *tale) {
			x.say(x.a, 1, created, "c1", 0)
			x.end(x.a, 10, "by a hook")
		}},
		"a visitor's session ended by a hook": {"I2", func(x *tale) {
			x.born()
			x.end(x.a, 10, "by a hook")
			x.oneRun()
		}},
		"a reason that nobody gives": {"I2", func(x *tale) {
			x.born()
			x.end(x.a, 1000, "revoked")
			x.oneRun()
		}},
	}.judge(t)
}

// Of an instance in a world of its own, while it is in it, nothing of this is asked.
func TestCheckerSplit(t *testing.T) {
	apart := func(x *tale) {
		x.born()
		x.e.apart, x.e.split = x.b, window{at(400), at(1100)}
	}
	tales{
		"early, in its own world": {"", func(x *tale) {
			apart(x)
			x.handle(x.b, 500, 1)
			x.say(x.b, 511, alive, "h1", 1)
			x.e.answered(taleID, at(550))
		}},
		"early, in the world of the rest": {"I2", func(x *tale) {
			apart(x)
			x.handle(x.a, 985, 1) // the first hook before its time, the second after it
		}},
		"early, before the split": {"I2", func(x *tale) {
			apart(x)
			x.e.split.from = at(999)
			x.handle(x.b, 985, 1)
		}},
		"lives, after the split": {"I2", func(x *tale) {
			apart(x)
			x.handle(x.b, 1050, 1)
			x.say(x.b, 1101, alive, "h1", 1)
			x.e.split.to = at(1100)
		}},
	}.judge(t)
}

// oneRun gives the end's second hook the reason that is always true, so that one
// violation is left.
func (x *tale) oneRun() {
	for i, e := range x.events {
		if e.kind == started && e.hook == "h2" {
			x.events[i].at, x.events[i].reason = at(5000), "idle timeout"
			if x.e.sessions[taleID].alone {
				x.events[i].reason = "absolute timeout"
			}
		}
	}
}

// Whether what a handler registered runs once, there, and is told the truth.
func TestCheckerClosures(t *testing.T) {
	tales{
		"a handler's hook": {"", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.say(x.b, 1010, closure, "0", 1)
			x.handle(x.a, 1000, 1)
		}},
		"that never ran": {"I6", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.handle(x.a, 1000, 1)
		}},
		"of a killed instance": {"", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.b.stopped(at(30_000), true)
			x.handle(x.a, 1000, 1)
		}},
		"of an instance that was killed long after it": {"I6", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.b.stopped(at(62_000), true)
			x.handle(x.a, 1000, 1)
		}},
		"that ran twice": {"I6", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.say(x.b, 1010, closure, "0", 1)
			x.say(x.b, 1011, closure, "0", 1)
			x.handle(x.a, 1000, 1)
		}},
		"elsewhere": {"I6", func(x *tale) {
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
		"while the session lives": {"I2", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.e.askedToEnd(taleID, at(200))
			x.because(x.b, 300, closure, "0", 1, "destroyed")
			x.e.answered(taleID, at(400))
			x.handle(x.a, 2000, 1)
		}},
		"as lost, without a flush": {"I2", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.because(x.b, 1010, closure, "0", 1, "lost")
			x.handle(x.a, 1000, 1)
		}},
		"as lost, as a flush took the tombstone": {"", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.handle(x.a, 1000, 1)
			x.e.lostToFlush([]string{"another"}, []string{taleID, "another"})
			x.because(x.b, 2000, closure, "0", 1, "lost")
		}},
		"as lost, as the tombstone was evicted": {"", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.handle(x.a, 1000, 1)
			x.e.evicted = []window{{at(1500), at(1600)}}
			x.because(x.b, 2000, closure, "0", 1, "lost")
		}},
		"as lost, as others were evicted before the end": {"I2", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.e.evicted = []window{{at(500), at(600)}}
			x.handle(x.a, 1000, 1)
			x.because(x.b, 2000, closure, "0", 1, "lost")
		}},
		"at the shutdown, while the session lives": {"", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.b.told = at(199)
			x.because(x.b, 200, closure, "0", 1, "shutdown")
			x.e.answered(taleID, at(300))
			x.handle(x.a, 2000, 1)
		}},
		"at a shutdown that nobody asked for": {"I6", func(x *tale) {
			x.born()
			x.say(x.b, 100, held, "0", 0)
			x.b.told = at(300)
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
