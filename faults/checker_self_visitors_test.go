package faults

import "testing"

// The checker finds visitors who lose their sessions, and reports what the test itself saw.
func TestCheckerVisitors(t *testing.T) {
	// A visitor comes back after 510 ms and gets another session. That session is not judged.
	out := func(x *tale, now string) {
		x.born()
		x.handle(x.a, 1000, 1)
		x.e.changed(change{old: taleID, new: now, seen: at(0), at: at(510)})
	}
	v := tales{
		"another session": {"I10", func(x *tale) { out(x, "another") }},
		"no cookie":       {"I10", func(x *tale) { out(x, "") }},
		"too late": {"", func(x *tale) {
			x.born()
			x.handle(x.a, 1000, 1)
			x.e.changed(change{old: taleID, new: "another", seen: at(0), at: at(1001)})
		}},
		"it is not known when the session was last seen": {"", func(x *tale) {
			x.born()
			x.handle(x.a, 1000, 1)
			x.e.changed(change{old: taleID, new: "another", at: at(510)})
		}},
		"signed out before": {"", func(x *tale) {
			x.e.askedToEnd(taleID, at(400))
			out(x, "")
		}},
		"signs out later": {"I10", func(x *tale) {
			x.e.askedToEnd(taleID, at(600))
			out(x, "another")
		}},
		"another visitor has signed out": {"I10", func(x *tale) {
			x.e.askedToEnd("another", at(400))
			out(x, "another")
		}},
		"flushed": {"", func(x *tale) {
			x.e.lostToFlush([]string{taleID}, nil)
			out(x, "another")
		}},
		"evicted": {"", func(x *tale) {
			x.e.evicted = []window{{at(400), at(450)}}
			out(x, "another")
		}},
		"unsaved": {"", func(x *tale) {
			x.e.unsaved = []window{{at(400), at(450)}}
			out(x, "another")
		}},
		"unsaved before": {"I10", func(x *tale) {
			x.e.unsaved = []window{{at(-400), at(-350)}}
			out(x, "another")
		}},
		"in a split": {"", func(x *tale) {
			x.e.apart, x.e.split = x.b, window{at(400), at(450)}
			out(x, "another")
		}},
		"a breach": {"I11: seen", func(x *tale) {
			x.born()
			x.handle(x.a, 1000, 1)
			x.e.breach("I11: %s", "seen")
		}},
	}.judge(t)
	if n := v["another session"].signedOut; n != 1 {
		t.Errorf("%d visitors signed out, want 1", n)
	}
	e := newEvidence()
	e.responded(taleID, at(0))
	for id, may := range map[string][]string{taleID: {taleID}, "new": nil} {
		if e.letIn(id, at(1), may) {
			t.Errorf("session %s was wrong as the response to a forged request", id)
		}
	}
	if !e.letIn(taleID, at(2), []string{"new"}) {
		t.Error("a forged request may get another visitor's session")
	}
}
