package faults

import "testing"

// Whether visitors keep their sessions, and what the test itself saw is told.
func TestCheckerVisitors(t *testing.T) {
	// One who comes back after 500 ms and gets another session, which is not judged.
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
		"nobody knows when it was seen": {"", func(x *tale) {
			x.born()
			x.handle(x.a, 1000, 1)
			x.e.changed(change{old: taleID, new: "another", at: at(510)})
		}},
		"he has signed out": {"", func(x *tale) {
			x.e.askedToEnd(taleID, at(400))
			out(x, "")
		}},
		"he signs out later": {"I10", func(x *tale) {
			x.e.askedToEnd(taleID, at(600))
			out(x, "another")
		}},
		"another one has signed out": {"I10", func(x *tale) {
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
	e.answered(taleID, at(0))
	for id, may := range map[string][]string{taleID: {taleID}, "new": nil} {
		if e.letIn(id, at(1), may) {
			t.Errorf("session %s was not to answer", id)
		}
	}
	if !e.letIn(taleID, at(2), []string{"new"}) {
		t.Error("another's session was let in")
	}
}
