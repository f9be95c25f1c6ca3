package faults

import (
	"slices"
	"time"
)

// noneRepeated is I3, I4 and I7: a hook runs only under a claim of its instance. It runs
// again only for a cause, and then as a later attempt.
func (c *trial) noneRepeated() {
	c.ackedIsOver()
	c.staleStartsOne()
	for hook, runs := range c.started {
		for i, r := range runs {
			if c.claimOf(r).by == nil {
				c.v.violate("I7: session %s: %s ran on %s at %s, in attempt %d without a claim: %s",
					c.id, hook, r.by.name, clock(r.at), r.attempt, c.history())
			}
			if i > 0 {
				c.repeated(hook, runs[i-1], r)
			}
		}
	}
}

// ackedIsOver checks that no instance claims an end after its ack.
func (c *trial) ackedIsOver() {
	for _, claim := range c.claims {
		for _, ack := range c.acks {
			if claim.at.After(ack.at) && !anyOverlaps(c.e.unsaved, ack.at, ack.at) {
				c.v.violate("I7: session %s: acked by %s at %s, claimed by %s at %s: %s",
					c.id, ack.by.name, clock(ack.at), claim.by.name, clock(claim.at), c.history())
				return
			}
		}
	}
}

// staleStartsOne checks how many hooks an instance starts after another instance has taken
// its claim over. An instance checks its lease before each hook. If it is stopped after that
// check and before the hook's first line, the hook still starts when the instance goes on.
// No second hook may start then.
func (c *trial) staleStartsOne() {
	type holder struct {
		by      *process
		attempt int
	}
	stale := make(map[holder]int)
	for hook := range c.started {
		for _, r := range c.started[hook] {
			if !c.takenOverBefore(r) {
				continue
			}
			h := holder{r.by, r.attempt}
			if stale[h]++; stale[h] == 2 {
				c.v.violate("I7: session %s: the claim of %s was taken over, and %[2]s started more than one hook afterwards: %[3]s",
					c.id, r.by.name, c.history())
			}
		}
	}
}

// takenOverBefore reports whether a hook of a later attempt had started before this run.
func (c *trial) takenOverBefore(r event) bool {
	for _, runs := range c.started {
		for _, later := range runs {
			if later.attempt > r.attempt && later.at.Before(r.at) &&
				!anyOverlaps(c.e.unsaved, c.claimOf(later).at, r.at) {
				return true
			}
		}
	}
	return false
}

// repeated judges two runs of a hook, of which one comes after the other.
//
//   - If the first run failed, the hook may run again.
//   - If the first run succeeded and another hook of that attempt failed, the hook may run
//     again on another instance. The same instance remembers that the hook has succeeded.
//   - Everything else is a repeat. Its cause must be that the first run's instance was
//     stopped while it held the claim.
//
// An instance that is stopped just before it calls the hook calls it when it goes on. That
// may be later than the run of the next attempt.
func (c *trial) repeated(hook string, before, after event) {
	from, to := c.holding(before, after)
	unsaved := anyOverlaps(c.e.unsaved, from, to)
	if before.attempt == after.attempt && !unsaved {
		c.v.violate("I7: session %s: attempt %d of %s ran on %s at %s and on %s at %s: %s",
			c.id, after.attempt, hook, before.by.name, clock(before.at), after.by.name, clock(after.at), c.history())
		return
	}
	if c.outcome(before, failed, hook) {
		return
	}
	if c.outcome(before, done, hook) && c.outcome(before, failed, "") && before.by != after.by {
		c.v.again++
		return
	}
	c.v.repeats++
	if !unsaved && !before.by.stoppedBetween(from, to) {
		c.v.violate("I3: session %s: %s ran on %s at %s and again on %s at %s: %s",
			c.id, hook, before.by.name, clock(before.at), after.by.name, clock(after.at), c.history())
	}
}

// claimOf returns the claim under which a hook ran. If there is none, by is nil in what it
// returns.
func (c *trial) claimOf(run event) (claim event) {
	for _, e := range c.claims {
		if e.by == run.by && e.attempt == run.attempt && !e.at.After(run.at) && e.at.After(claim.at) {
			claim = e
		}
	}
	return claim
}

// holding returns the longest time in which run's instance can have held its claim: from
// its call for the claim until Redis replied to its ack, or until the next run started.
func (c *trial) holding(run, next event) (from, to time.Time) {
	from, to = run.at, next.at
	if claim := c.claimOf(run); claim.by != nil {
		from = claim.at
	}
	for _, ack := range c.acks {
		if ack.by == run.by && !ack.at.Before(from) && ack.at.Before(to) {
			to = ack.at
		}
	}
	return from, to
}

// outcome reports whether a hook ended in this way in the attempt of run. An empty name
// stands for any hook.
func (c *trial) outcome(run event, k kind, hook string) bool {
	return slices.ContainsFunc(c.outcomes, func(o event) bool {
		return o.kind == k && o.by == run.by && o.attempt == run.attempt && (hook == "" || o.hook == hook)
	})
}
