package faults

import (
	"strings"
	"testing"
	"time"
)

// A checker that finds nothing is no checker: each of these tales breaks one
// invariant, or none, and must be judged so.
func TestChecker(t *testing.T) {
	t0 := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	const idle = time.Second
	const id = "s"

	// tale is what happened to one session, in ms.
	type tale struct {
		a, b   *process
		e      *evidence
		events []event
	}
	say := func(x *tale, by *process, ms int, k kind, hook string, attempt int) {
		x.events = append(x.events, event{at: at(ms), kind: k, id: id, hook: hook, attempt: attempt, reason: "idle timeout", ended: at(1000), by: by})
	}
	runBoth := func(x *tale, by *process, ms, attempt int) {
		for i, h := range hooks {
			say(x, by, ms+10*i, started, h, attempt)
			say(x, by, ms+10*i+5, done, h, attempt)
		}
	}
	// born begins the session: a visitor was told of it, and it was seen once.
	born := func(x *tale) {
		x.e.answered(id, at(0))
		say(x, x.a, 1, created, "c1", 0)
	}

	for name, c := range map[string]struct {
		want string // what the only violation begins with, "" for none
		tell func(x *tale)
	}{
		"as it should be": {"", func(x *tale) {
			born(x)
			runBoth(x, x.a, 1010, 1)
		}},
		"never handled": {"I1", func(x *tale) { born(x) }},
		"one hook never succeeded": {"I1", func(x *tale) {
			born(x)
			say(x, x.a, 1010, started, "h1", 1)
			say(x, x.a, 1011, done, "h1", 1)
			say(x, x.a, 1012, started, "h2", 1)
			say(x, x.a, 1013, failed, "h2", 1)
		}},
		"known by its created hook only, and lost": {"I1", func(x *tale) { say(x, x.a, 1, created, "c1", 0) }},
		"flushed": {"", func(x *tale) {
			born(x)
			x.e.flushed = []window{{at(500), at(501)}}
		}},
		"flushed before it began": {"I1", func(x *tale) {
			born(x)
			x.e.flushed = []window{{at(-500), at(-400)}}
		}},
		"flushed long after its end was due": {"I1", func(x *tale) {
			born(x)
			x.e.flushed = []window{{at(200_000), at(200_001)}}
		}},
		"in the dead set": {"", func(x *tale) {
			born(x)
			x.e.bury(id)
			say(x, x.a, 1010, started, "h1", 1)
			say(x, x.a, 1011, failed, "h1", 1)
		}},
		"should be in the dead set": {"I1", func(x *tale) {
			born(x)
			x.e.bury(id)
			runBoth(x, x.a, 1010, 1)
		}},
		"before its time": {"I2", func(x *tale) {
			born(x)
			say(x, x.a, 990, started, "h1", 1)
			say(x, x.a, 991, done, "h1", 1)
			say(x, x.a, 1010, started, "h2", 1)
			say(x, x.a, 1011, done, "h2", 1)
		}},
		"a request after it": {"I2", func(x *tale) {
			born(x)
			runBoth(x, x.a, 1010, 1)
			x.events[len(x.events)-4].reason, x.events[len(x.events)-2].reason = "destroyed", "destroyed"
			x.e.answered(id, at(1015)) // after the first hook's start, before the second's
		}},
		"told that it lives": {"I2", func(x *tale) {
			born(x)
			runBoth(x, x.a, 1010, 1)
			say(x, x.a, 1011, alive, "h1", 1)
		}},
		"twice without a crash": {"I3", func(x *tale) {
			born(x)
			runBoth(x, x.a, 1010, 1)
			say(x, x.b, 2010, started, "h1", 2)
			say(x, x.b, 2011, done, "h1", 2)
		}},
		"twice after a kill": {"", func(x *tale) {
			born(x)
			runBoth(x, x.a, 1010, 1)
			x.a.stopped(at(1100), true)
			runBoth(x, x.b, 2010, 2)
		}},
		"twice, killed before": {"I3", func(x *tale) {
			born(x)
			say(x, x.b, 1010, started, "h1", 1)
			say(x, x.b, 1011, done, "h1", 1)
			x.b.stops = []stop{{from: at(100), to: at(200)}}
			runBoth(x, x.a, 2010, 2)
		}},
		"twice after a freeze, as the same attempt": {"I7", func(x *tale) {
			born(x)
			say(x, x.a, 1010, started, "h1", 1)
			say(x, x.a, 1011, done, "h1", 1)
			x.a.stops = []stop{{from: at(1012), to: at(1900)}}
			runBoth(x, x.b, 2010, 1)
			x.events = x.events[:len(x.events)-2] // of h2, which ran once
			say(x, x.a, 2020, started, "h2", 1)
			say(x, x.a, 2021, done, "h2", 1)
		}},
		"a frozen instance that calls the hook late": {"", func(x *tale) {
			born(x)
			x.a.stops = []stop{{from: at(1009), to: at(3000)}}
			runBoth(x, x.b, 2010, 2)
			runBoth(x, x.a, 3001, 1)
		}},
		"a late hook of an instance that was not frozen": {"I3", func(x *tale) {
			born(x)
			runBoth(x, x.b, 2010, 2)
			say(x, x.a, 3001, started, "h1", 1)
			say(x, x.a, 3002, done, "h1", 1)
		}},
		"again because another hook failed": {"", func(x *tale) {
			born(x)
			say(x, x.a, 1010, started, "h1", 1)
			say(x, x.a, 1011, done, "h1", 1)
			say(x, x.a, 1012, started, "h2", 1)
			say(x, x.a, 1013, failed, "h2", 1)
			runBoth(x, x.b, 2010, 2)
		}},
		"created twice": {"I5", func(x *tale) {
			born(x)
			say(x, x.a, 2, created, "c1", 0)
			runBoth(x, x.a, 1010, 1)
		}},
		"answered, and never created": {"I5", func(x *tale) {
			x.e.answered(id, at(0))
			runBoth(x, x.a, 1010, 1)
		}},
		"destroyed before created": {"I5", func(x *tale) {
			x.e.answered(id, at(0))
			say(x, x.b, 1015, created, "c1", 0)
			say(x, x.a, 1010, started, "h1", 1)
			say(x, x.a, 1011, done, "h1", 1)
			say(x, x.a, 1016, started, "h2", 1)
			say(x, x.a, 1017, done, "h2", 1)
		}},
		"a handler's hook": {"", func(x *tale) {
			born(x)
			say(x, x.b, 100, held, "0", 0)
			say(x, x.b, 1010, closure, "0", 1)
			runBoth(x, x.a, 1010, 1)
		}},
		"a handler's hook that never ran": {"I6", func(x *tale) {
			born(x)
			say(x, x.b, 100, held, "0", 0)
			runBoth(x, x.a, 1010, 1)
		}},
		"a handler's hook of a killed instance": {"", func(x *tale) {
			born(x)
			say(x, x.b, 100, held, "0", 0)
			x.b.stopped(at(200), true)
			runBoth(x, x.a, 1010, 1)
		}},
		"a handler's hook that ran twice": {"I6", func(x *tale) {
			born(x)
			say(x, x.b, 100, held, "0", 0)
			say(x, x.b, 1010, closure, "0", 1)
			say(x, x.b, 1011, closure, "0", 1)
			runBoth(x, x.a, 1010, 1)
		}},
		"a handler's hook elsewhere": {"I6", func(x *tale) {
			born(x)
			say(x, x.b, 100, held, "0", 0)
			say(x, x.b, 1010, closure, "0", 1)
			say(x, x.a, 1010, closure, "0", 1)
			runBoth(x, x.a, 1010, 1)
		}},
	} {
		x := &tale{a: &process{name: "a"}, b: &process{name: "b"}, e: newEvidence()}
		c.tell(x)
		v := x.e.check(x.events, idle)
		switch {
		case c.want == "" && len(v.violations) > 0:
			t.Errorf("%s: %q", name, v.violations)
		case c.want != "" && (len(v.violations) != 1 || !strings.HasPrefix(v.violations[0], c.want)):
			t.Errorf("%s: %q, want one of %s", name, v.violations, c.want)
		}
	}
}
