package faults

import (
	"slices"
	"time"
)

// noneRepeated is I3, I4 and I7: a hook runs under a claim, and again, as a later
// attempt, only where there was cause.
func (c *trial) noneRepeated() {
	c.ackedIsOver()
	c.staleStartsOne()
	for hook, runs := range c.started {
		for i, r := range runs {
			if c.claimOf(r).by == nil {
				c.v.violate("I7: session %s: %s ran on %s at %s, attempt %d, which it had not claimed: %s",
					c.id, hook, r.by.name, clock(r.at), r.attempt, c.tell())
			}
			if i > 0 {
				c.repeated(hook, runs[i-1], r)
			}
		}
	}
}

// ackedIsOver: nothing is claimed that had been acked.
func (c *trial) ackedIsOver() {
	for _, claim := range c.claims {
		for _, ack := range c.acks {
			if claim.at.After(ack.at) && !anyOverlaps(c.e.unsaved, ack.at, ack.at) {
				c.v.violate("I7: session %s: acked by %s at %s, claimed by %s at %s: %s",
					c.id, ack.by.name, clock(ack.at), claim.by.name, clock(claim.at), c.tell())
				return
			}
		}
	}
}

// staleStartsOne: a holder looks at its lease before each hook. If it is stopped
// between that and the hook's first line, that hook begins beside those of whoever
// took the claim over. A second one does not.
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
				c.v.violate("I7: session %s: taken over from %s, which started more than the hook that it was about to: %s",
					c.id, r.by.name, c.tell())
			}
		}
	}
}

// takenOverBefore reports whether a hook of a later attempt had begun when this
// one did.
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

// repeated judges a run, and the one before it.
//
// A hook that failed is tried again. One that succeeded while another one failed
// runs again only on another instance: its own remembers. All else is a repeat, and
// the instance of the run before must have been stopped while it held the claim. One
// that was stopped just before it called the hook does so when it goes on, and may
// be later then than the attempt after.
func (c *trial) repeated(hook string, before, after event) {
	from, to := c.holding(before, after)
	unsaved := anyOverlaps(c.e.unsaved, from, to)
	if before.attempt == after.attempt && !unsaved {
		c.v.violate("I7: session %s: attempt %d of %s ran on %s at %s and on %s at %s: %s",
			c.id, after.attempt, hook, before.by.name, clock(before.at), after.by.name, clock(after.at), c.tell())
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
			c.id, hook, before.by.name, clock(before.at), after.by.name, clock(after.at), c.tell())
	}
}

// claimOf returns the claim under which a hook ran, one without an instance if
// there is none.
func (c *trial) claimOf(run event) (claim event) {
	for _, e := range c.claims {
		if e.by == run.by && e.attempt == run.attempt && !e.at.After(run.at) && e.at.After(claim.at) {
			claim = e
		}
	}
	return claim
}

// holding returns from when to when the first run's instance held its claim, at
// the most: from before it asked for it until Redis had told it of the ack, or the
// next run showed that somebody else held it.
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

// outcome reports whether a hook of the run's attempt came to this; an empty
// name stands for any hook.
func (c *trial) outcome(run event, k kind, hook string) bool {
	return slices.ContainsFunc(c.outcomes, func(o event) bool {
		return o.kind == k && o.by == run.by && o.attempt == run.attempt && (hook == "" || o.hook == hook)
	})
}
