package faults

import "time"

// total returns the sum of all counts.
func total[K comparable](by map[K]int) int {
	n := 0
	for _, k := range by {
		n += k
	}
	return n
}

// rowsOfLanes are the rows whose faults the lanes let happen.
var rowsOfLanes = []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 17, 22, 23, 24, 25}

// happened fails the test if too little happened in it.
func (s *soak) happened(v verdict) {
	// A request of a forger begins at most one session.
	if floor := int(soakDuration.Seconds())**soakRate/3 + total(s.answered); v.ends < floor {
		s.t.Errorf("%d ends were handled, fewer than %d: there was hardly any load", v.ends, floor)
	}
	for _, x := range tricks {
		if s.answered[x.name] == 0 {
			s.t.Errorf("no forger got a response: %s", x.name)
		}
	}
	if n := s.seen.taken.Load(); n < int64(soakDuration.Seconds())/2 {
		s.t.Errorf("the live keys were read only %d times", n)
	}
	if *soakDuration < 5*time.Minute {
		return // too short for rare faults
	}
	for _, row := range rowsOfLanes {
		if s.faults[row] == 0 {
			s.t.Errorf("no fault of row %d happened", row)
		}
	}
}

// figures logs the figures of the soak.
func (s *soak) figures(v verdict) {
	say := s.t.Logf
	say("sessions begun   %d, of which Redis lost %d by FLUSHALL", v.sessions, v.excused)
	say("ends handled     %d", v.ends)
	say("hook runs        %d of destroyed hooks, %d of created hooks, %d of closures", v.runs, v.created, v.closures)
	say("repeats          %d, each after a kill or a freeze", v.repeats)
	say("again elsewhere  %d, because another hook of the attempt had failed", v.again)
	say("lost             %d", v.lost)
	say("for live ones    %d", v.living)
	say("violations       %d", len(v.violations))
	say("faults injected  %d", total(s.faults))
	for _, row := range rowsOfLanes {
		say("    row %-2d       %d", row, s.faults[row])
	}
	say("wrong clocks     %d, with the instances that came after a kill (row 18)", s.skewed)
	say("failing hooks    %d errors and panics, %d that hang, %d that use the API", s.hooks[19], s.hooks[20], s.hooks[21])
	say("visits           %d, of which %d failed", s.visits.Load(), s.failed.Load())
	say("forgers          %d requests, of which %d got a response", total(s.forgeries), total(s.answered))
	for _, x := range tricks {
		say("    %-12s %d, %d", x.name, s.forgeries[x.name], s.answered[x.name])
	}
	say("signed out       %d visitors who had not signed out themselves", v.signedOut)
	say("live keys        %v", &s.seen)
	say("reason deleted   %d ends, each of which Redis had evicted", v.deleted)
	say("lag              p50 %v, p90 %v, p99 %v, longest %v",
		v.lag(.5).Round(time.Millisecond), v.lag(.9).Round(time.Millisecond), v.lag(.99).Round(time.Millisecond), v.lag(1).Round(time.Millisecond))
}
