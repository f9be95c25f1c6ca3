package faults

import "testing"

// The checker finds hooks that run without a claim, and hooks that run again without a
// cause.
func TestCheckerClaims(t *testing.T) {
	v := tales{
		"twice without a crash": {"I3", func(x *tale) {
			x.born()
			x.handle(x.a, 1000, 1)
			x.events = x.events[:len(x.events)-1] // never acked
			x.say(x.b, 2000, claimed, "token", 2)
			x.run(x.b, 2010, "h1", 2)
		}},
		"twice after a kill": {"", func(x *tale) {
			x.born()
			x.say(x.a, 1000, claimed, "token", 1)
			x.runBoth(x.a, 1010, 1)
			x.a.stopped(at(1100), true)
			x.handle(x.b, 2000, 2)
		}},
		"twice, stopped before the claim": {"I3", func(x *tale) {
			x.born()
			x.b.stops = []stop{{from: at(100), to: at(200)}}
			x.say(x.b, 1000, claimed, "token", 1)
			x.run(x.b, 1010, "h1", 1)
			x.handle(x.a, 2000, 2)
		}},
		"claimed after the ack": {"I7", func(x *tale) {
			x.born()
			x.handle(x.a, 1000, 1)
			x.say(x.b, 1031, claimed, "token", 2)
		}},
		"claimed while the ack was under way": {"", func(x *tale) {
			x.born()
			x.handle(x.a, 1000, 1)
			x.say(x.b, 1029, claimed, "token", 2)
		}},
		"claimed after an ack that was not saved": {"", func(x *tale) {
			x.born()
			x.handle(x.a, 1000, 1)
			x.e.unsaved = []window{{at(1020), at(1500)}}
			x.handle(x.b, 2000, 2)
		}},
		"claimed after an ack that had been saved": {"I7", func(x *tale) {
			x.born()
			x.handle(x.a, 1000, 1)
			x.e.unsaved = []window{{at(1031), at(1500)}}
			x.say(x.b, 2000, claimed, "token", 2)
		}},
		"stopped after the ack": {"I3", func(x *tale) {
			x.born()
			x.handle(x.a, 1000, 1)
			x.a.stops = []stop{{from: at(1500), to: at(1900)}}
			x.say(x.b, 1025, claimed, "token", 2) // before the ack: no claim of an acked end
			x.run(x.b, 2010, "h1", 2)
		}},
		"stopped before the claim": {"I3", func(x *tale) {
			x.born()
			x.a.stops = []stop{{from: at(900), to: at(999)}}
			x.say(x.a, 1000, claimed, "token", 1)
			x.runBoth(x.a, 1010, 1)
			x.say(x.b, 2000, claimed, "token", 2)
			x.run(x.b, 2010, "h1", 2)
		}},
		"stopped between the claim and the hook": {"", func(x *tale) {
			x.born()
			x.say(x.a, 1000, claimed, "token", 1)
			x.a.stops = []stop{{from: at(1001), to: at(1005)}}
			x.runBoth(x.a, 1010, 1)
			x.handle(x.b, 2000, 2)
		}},
		"again, and the first run neither succeeded nor failed": {"I3", func(x *tale) {
			x.born()
			x.say(x.a, 1000, claimed, "token", 1)
			x.say(x.a, 1010, started, "h1", 1)
			x.handle(x.b, 2000, 2)
		}},
		"without a claim": {"I7", func(x *tale) {
			x.born()
			x.say(x.a, 1000, claimed, "token", 1)
			x.run(x.a, 1010, "h1", 1)
			x.run(x.a, 1020, "h2", 1)
			x.events[len(x.events)-2].at = at(999) // h2's start
		}},
		"twice after a freeze, as the same attempt": {"I7", func(x *tale) {
			x.born()
			x.say(x.a, 1000, claimed, "token", 1)
			x.run(x.a, 1010, "h1", 1)
			x.a.stops = []stop{{from: at(1012), to: at(1900)}}
			x.say(x.b, 2000, claimed, "token", 1)
			x.run(x.b, 2010, "h1", 1)
			x.run(x.a, 2020, "h2", 1)
		}},
		"a frozen instance that calls the hook late": {"", func(x *tale) {
			x.born()
			x.say(x.a, 1000, claimed, "token", 1)
			x.a.stops = []stop{{from: at(1009), to: at(3000)}}
			x.handle(x.b, 2000, 2)
			x.run(x.a, 3001, "h1", 1)
		}},
		"a frozen instance that calls another hook after it": {"I7", func(x *tale) {
			x.born()
			x.say(x.a, 1000, claimed, "token", 1)
			x.a.stops = []stop{{from: at(1009), to: at(3000)}}
			x.handle(x.b, 2000, 2)
			x.runBoth(x.a, 3001, 1)
		}},
		"both hooks of the first attempt, as the second was not saved": {"", func(x *tale) {
			x.born()
			x.say(x.a, 1000, claimed, "token", 1)
			x.a.stops = []stop{{from: at(1009), to: at(3000)}}
			x.handle(x.b, 2000, 2)
			x.e.unsaved = []window{{at(1900), at(2500)}}
			x.runBoth(x.a, 3001, 1)
		}},
		"a late hook of an instance that was not frozen": {"I3", func(x *tale) {
			x.born()
			x.say(x.a, 1000, claimed, "token", 1)
			x.handle(x.b, 2000, 2)
			x.run(x.a, 3001, "h1", 1)
		}},
		"again elsewhere because another hook failed": {"", func(x *tale) {
			x.born()
			x.say(x.a, 1000, claimed, "token", 1)
			x.run(x.a, 1010, "h1", 1)
			x.fail(x.a, 1012, "h2")
			x.handle(x.b, 2000, 2)
		}},
		"again on the same instance though another hook failed": {"I3", func(x *tale) {
			x.born()
			x.say(x.a, 1000, claimed, "token", 1)
			x.run(x.a, 1010, "h1", 1)
			x.fail(x.a, 1012, "h2")
			x.handle(x.a, 2000, 2)
		}},
		"again on the same instance, which was frozen after the failure": {"", func(x *tale) {
			x.born()
			x.say(x.a, 1000, claimed, "token", 1)
			x.run(x.a, 1010, "h1", 1)
			x.fail(x.a, 1012, "h2")
			x.a.stops = []stop{{from: at(1014), to: at(1900)}}
			x.handle(x.a, 2000, 2)
		}},
		"the failed hook again on the same instance": {"", func(x *tale) {
			x.born()
			x.say(x.a, 1000, claimed, "token", 1)
			x.run(x.a, 1010, "h1", 1)
			x.fail(x.a, 1012, "h2")
			x.say(x.a, 2000, claimed, "token", 2)
			x.run(x.a, 2010, "h2", 2)
		}},
	}.judge(t)
	for name, want := range map[string]struct{ repeats, again int }{
		"twice after a kill":                                             {2, 0},
		"again elsewhere because another hook failed":                    {0, 1},
		"again on the same instance, which was frozen after the failure": {1, 0},
		"a frozen instance that calls the hook late":                     {1, 0},
		"the failed hook again on the same instance":                     {0, 0},
	} {
		if v := v[name]; v.repeats != want.repeats || v.again != want.again {
			t.Errorf("%s: %d repeats, %d again; want %d and %d", name, v.repeats, v.again, want.repeats, want.again)
		}
	}
}
