package faults

import (
	"strings"
	"testing"
	"time"
)

// A checker that finds nothing is no checker: each of the tales that follow breaks
// one invariant, or none, and must be judged so.

const (
	taleID   = "s"
	taleIdle = time.Second
)

// tale is what happened to one session, in ms.
type tale struct {
	a, b   *process
	e      *evidence
	events []event
}

// tales are tales by name: what the only violation begins with, "" for none.
type tales map[string]struct {
	want string
	tell func(x *tale)
}

func at(ms int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
}

func (x *tale) say(by *process, ms int, k kind, hook string, attempt int) {
	x.because(by, ms, k, hook, attempt, "idle timeout")
}

func (x *tale) because(by *process, ms int, k kind, hook string, attempt int, reason string) {
	x.events = append(x.events, event{at: at(ms), kind: k, id: taleID, hook: hook, attempt: attempt, reason: reason, ended: at(1000), by: by})
}

// born begins the session: a visitor was told of it, and it was seen once.
func (x *tale) born() {
	x.e.answered(taleID, at(0))
	x.say(x.a, 1, created, "c1", 0)
}

// run lets a hook succeed.
func (x *tale) run(by *process, ms int, hook string, attempt int) {
	x.say(by, ms, started, hook, attempt)
	x.say(by, ms+1, done, hook, attempt)
}

// fail lets it fail, the first time.
func (x *tale) fail(by *process, ms int, hook string) {
	x.say(by, ms, started, hook, 1)
	x.say(by, ms+1, failed, hook, 1)
}

// runBoth lets both hooks succeed, ms and ms+10.
func (x *tale) runBoth(by *process, ms, attempt int) {
	x.run(by, ms, "h1", attempt)
	x.run(by, ms+10, "h2", attempt)
}

// handle claims the end, which was asked for at ms, runs both hooks and acks it.
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

// judge tells each tale and compares the verdict; the verdicts are returned.
func (all tales) judge(t *testing.T) map[string]verdict {
	t.Helper()
	verdicts := make(map[string]verdict)
	for name, c := range all {
		x := &tale{a: &process{name: "a"}, b: &process{name: "b"}, e: newEvidence()}
		c.tell(x)
		v := x.e.check(x.events, taleIdle)
		switch {
		case c.want == "" && len(v.violations) > 0:
			t.Errorf("%s: %q", name, v.violations)
		case c.want != "" && (len(v.violations) != 1 || !strings.HasPrefix(v.violations[0], c.want)):
			t.Errorf("%s: %q, want one of %s", name, v.violations, c.want)
		}
		verdicts[name] = v
	}
	return verdicts
}

// Whether every end is handled, and created comes before it.
func TestCheckerEnds(t *testing.T) {
	v := tales{
		"as it should be": {"", func(x *tale) {
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
		"known by its created hook only, and lost": {"I1", func(x *tale) { x.say(x.a, 1, created, "c1", 0) }},
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
		"flushed, its created hook ran after that": {"", func(x *tale) {
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
		"unsaved, and to be safe": {"I1", func(x *tale) {
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
		"answered, and never created": {"I5", func(x *tale) {
			x.e.answered(taleID, at(0))
			x.handle(x.a, 1000, 1)
		}},
		"destroyed before created": {"I5", func(x *tale) {
			x.e.answered(taleID, at(0))
			x.handle(x.a, 1000, 1)
			x.say(x.b, 1015, created, "c1", 0) // between the two hooks
		}},
	}.judge(t)
	if n := v["flushed"].excused + v["unsaved"].excused; n != 2 {
		t.Errorf("%d sessions excused, want both", n)
	}
	if v := v["as it should be"]; v.ends != 1 || v.created != 1 || v.runs != 2 || len(v.lags) != 1 {
		t.Errorf("the figures of a good end: %+v", v)
	}
}
