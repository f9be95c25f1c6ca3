package faults

import (
	"strings"
	"testing"
	"time"
)

// The tests of the checker. Each tale is a made-up history of one session that breaks one
// invariant, or none. The checker must find exactly that.

const (
	taleID   = "s"
	taleIdle = time.Second
)

// tale is the history of one session. Its times are in ms.
type tale struct {
	a, b   *process
	e      *evidence
	events []event
}

// tales are tales by name. want is how the only violation begins; "" if there is none.
type tales map[string]struct {
	want string
	play func(x *tale)
}

// at returns the time ms after the session began.
func at(ms int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
}

// say adds a line to the journal of a process, with the reason of an idle timeout.
func (x *tale) say(by *process, ms int, k kind, hook string, attempt int) {
	x.because(by, ms, k, hook, attempt, "idle timeout")
}

// because adds a line with another reason.
func (x *tale) because(by *process, ms int, k kind, hook string, attempt int, reason string) {
	x.events = append(x.events, event{at: at(ms), kind: k, id: taleID, hook: hook, attempt: attempt, reason: reason, ended: at(1000), by: by})
}

// born begins the session: a visitor got one response with it, at 0.
func (x *tale) born() {
	x.e.responded(taleID, at(0))
	x.say(x.a, 1, created, "c1", 0)
}

// run lets a hook start at ms and succeed.
func (x *tale) run(by *process, ms int, hook string, attempt int) {
	x.say(by, ms, started, hook, attempt)
	x.say(by, ms+1, done, hook, attempt)
}

// fail lets a hook start at ms and fail, in the first attempt.
func (x *tale) fail(by *process, ms int, hook string) {
	x.say(by, ms, started, hook, 1)
	x.say(by, ms+1, failed, hook, 1)
}

// runBoth lets both hooks succeed, which start at ms and ms+10.
func (x *tale) runBoth(by *process, ms, attempt int) {
	x.run(by, ms, "h1", attempt)
	x.run(by, ms+10, "h2", attempt)
}

// handle lets a process claim the end at ms, run both hooks and ack the end.
func (x *tale) handle(by *process, ms, attempt int) {
	x.say(by, ms, claimed, "token", attempt)
	x.runBoth(by, ms+10, attempt)
	x.say(by, ms+30, acked, "", 0)
}

// end is handle with another reason.
func (x *tale) end(by *process, ms int, reason string) {
	n := len(x.events)
	x.handle(by, ms, 1)
	for i := range x.events[n:] {
		x.events[n+i].reason = reason
	}
}

// judge plays each tale, lets the checker judge it, and compares the verdict. It returns the
// verdicts.
func (all tales) judge(t *testing.T) map[string]verdict {
	t.Helper()
	verdicts := make(map[string]verdict)
	for name, c := range all {
		x := &tale{a: &process{name: "a"}, b: &process{name: "b"}, e: newEvidence()}
		c.play(x)
		v := x.e.check(x.events, taleIdle)
		switch {
		case c.want == "" && len(v.violations) > 0:
			t.Errorf("%s: %q", name, v.violations)
		case c.want != "" && (len(v.violations) != 1 || !strings.HasPrefix(v.violations[0], c.want)):
			t.Errorf("%s: %q, want one violation of %s", name, v.violations, c.want)
		}
		verdicts[name] = v
	}
	return verdicts
}

// The checker finds ends that are not handled, and created hooks that are missing, late or
// repeated.
func TestCheckerEnds(t *testing.T) {
	v := tales{
		"a good end": {"", func(x *tale) {
			x.born()
			x.handle(x.a, 1000, 1)
		}},
		"never handled": {"I1", func(x *tale) { x.born() }},
		"one hook never succeeded": {"I1", func(x *tale) {
			x.born()
			x.say(x.a, 1000, claimed, "token", 1)
			x.run(x.a, 1010, "h1", 1)
			x.fail(x.a, 1012, "h2")
		}},
		"never handled, and only the created hook is known": {"I1", func(x *tale) { x.say(x.a, 1, created, "c1", 0) }},
		"flushed": {"", func(x *tale) {
			x.born()
			x.e.lostToFlush([]string{taleID}, nil)
		}},
		"another one was flushed": {"I1", func(x *tale) {
			x.born()
			x.e.lostToFlush([]string{"another"}, nil)
		}},
		"flushed, after it had been acked": {"I1", func(x *tale) {
			x.born()
			x.e.lostToFlush(nil, []string{taleID})
		}},
		"flushed before its created hook ran": {"", func(x *tale) {
			x.e.lostToFlush([]string{taleID}, nil)
			x.say(x.a, 1, created, "c1", 0)
		}},
		"unsaved": {"", func(x *tale) {
			x.born()
			x.e.unsaved = []window{{at(-500), at(500)}}
		}},
		"saved before": {"I1", func(x *tale) {
			x.born()
			x.e.unsaved = []window{{at(1), at(500)}}
		}},
		"unsaved, though it had been safe": {"I1", func(x *tale) {
			x.e.seeding(taleID, at(1000))
			x.e.seeded(taleID, at(0))
			x.e.keptSafe([]string{taleID})
			x.e.unsaved = []window{{at(-500), at(500)}}
		}},
		"in the dead set": {"", func(x *tale) {
			x.born()
			x.e.bury(taleID)
			x.say(x.a, 1000, claimed, "token", 1)
			x.fail(x.a, 1010, "h1")
		}},
		"should be in the dead set": {"I1", func(x *tale) {
			x.born()
			x.e.bury(taleID)
			x.handle(x.a, 1000, 1)
		}},
		"created twice": {"I5", func(x *tale) {
			x.born()
			x.say(x.a, 2, created, "c1", 0)
			x.handle(x.a, 1000, 1)
		}},
		"created hook never ran": {"I5", func(x *tale) {
			x.e.responded(taleID, at(0))
			x.handle(x.a, 1000, 1)
		}},
		"destroyed before created": {"I5", func(x *tale) {
			x.e.responded(taleID, at(0))
			x.handle(x.a, 1000, 1)
			x.say(x.b, 1015, created, "c1", 0) // between the two hooks
		}},
	}.judge(t)
	if n := v["flushed"].excused + v["unsaved"].excused; n != 2 {
		t.Errorf("%d sessions excused, want both", n)
	}
	if v := v["a good end"]; v.ends != 1 || v.created != 1 || v.runs != 2 || len(v.lags) != 1 {
		t.Errorf("the figures of a good end: %+v", v)
	}
}
