package faults

import (
	"fmt"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle"
)

// byHook is the reason that a hook gives when it ends a session that the hook itself began.
const byHook lifecycle.Reason = "by a hook"

// noneForLiving is I2 and I9: once a destroyed hook was called, no instance responds with
// the session any more, and the reason that the hook got is true.
func (c *trial) noneForLiving() {
	for _, a := range c.alive {
		if c.e.whileApart(a) {
			continue
		}
		c.v.living++
		c.v.violate("I2: session %s: hook %s ran at %s while the session was live", c.id, a.hook, clock(a.at))
	}
	for hook, runs := range c.started {
		for i, r := range runs {
			c.endedBefore(r)
			if i == 0 && hook == hooks[0] && r.reason == string(lifecycle.ReasonDeleted) {
				c.v.deleted++
			}
		}
	}
	for _, r := range c.closures {
		if r.reason != string(lifecycle.ReasonShutdown) { // a shutdown does not end sessions
			c.endedBefore(r)
		}
	}
}

// endedBefore checks that the session had ended before this run of a hook, for the reason
// that the hook got.
func (c *trial) endedBefore(r event) {
	if c.e.whileApart(r) {
		c.v.cutOff++
		return
	}
	wrong := c.wrong(r)
	if c.known != nil && c.known.seen.After(r.at) {
		wrong = "an instance responded with the session to a request that was sent later"
	}
	if wrong != "" {
		c.v.living++
		c.v.violate("I2: session %s, last seen at %s: hook %s ran at %s with the reason %s: %s",
			c.id, clock(c.last()), r.hook, clock(r.at), r.reason, wrong)
	}
}

// wrong returns what is wrong with the reason that a hook got, "" if nothing is. If no
// visitor got a response with the session, only its created hook is known. That ran at an
// unknown time after the session began.
func (c *trial) wrong(r event) string {
	last := c.last()
	switch lifecycle.Reason(r.reason) {
	case lifecycle.ReasonIdleTimeout:
		idle := c.idle
		if c.known != nil && c.known.seeded {
			idle = seededIdle
		}
		if c.known != nil && r.at.Add(clockStep).Before(last.Add(idle)) &&
			!anyOverlaps(c.e.unsaved, last, r.at) && !anyOverlaps(c.e.evicted, last, r.at) {
			return fmt.Sprintf("before the idle timeout of %v", idle)
		}
	case lifecycle.ReasonAbsoluteTimeout:
		if d, ok := c.e.deadlines[c.id]; !ok || r.at.Add(clockStep).Before(d) {
			return "before its absolute timeout, if it has one"
		}
	case lifecycle.ReasonDestroyed:
		if at, ok := c.e.asked[c.id]; c.known != nil && (!ok || r.at.Before(at)) {
			return "no visitor had asked for the end"
		}
	case lifecycle.ReasonEvicted, lifecycle.ReasonDeleted:
		if !anyOverlaps(c.e.evicted, last, r.at) {
			return "only the library had deleted live keys"
		}
	case lifecycle.ReasonLost:
		// After the ack, only closures on other instances may still get this reason.
		taken := c.e.flushed[c.id] || r.kind == closure && (c.e.tombstones[c.id] || c.tombstoneEvicted(r.at))
		if began, _ := c.began(); !taken && !anyOverlaps(c.e.unsaved, began, r.at) {
			return "Redis had not lost it"
		}
	case byHook:
		if c.known != nil {
			return "a visitor began the session, not a hook"
		}
	default:
		return "no test gives this reason"
	}
	return ""
}

// tombstoneEvicted reports whether Redis may have evicted the tombstone, which the end
// leaves for closures on other instances once its global hooks have run.
func (c *trial) tombstoneEvicted(before time.Time) bool {
	return slices.ContainsFunc(c.outcomes, func(o event) bool {
		return o.kind == done && o.hook == hooks[len(hooks)-1] && !o.at.After(before) && anyOverlaps(c.e.evicted, o.at, before)
	})
}

// sweepTime is longer than it takes an instance to find an end whose message it missed.
const sweepTime = time.Minute

// closuresOnce is I6: a closure runs once, on the instance that registered it.
func (c *trial) closuresOnce() {
	for _, h := range c.held {
		n := 0
		for _, r := range c.closures {
			if r.hook == h.hook && r.by == h.by {
				n++
			}
		}
		if n > 1 || n == 0 && !c.diedWith(h) {
			c.v.violate("I6: session %s: the closure %s on %s ran %d times", c.id, h.hook, h.by.name, n)
		}
	}
	for _, r := range c.closures {
		if !r.by.killed() && !slices.ContainsFunc(c.held, func(h event) bool { return h.hook == r.hook && h.by == r.by }) {
			c.v.violate("I6: session %s: hook %s ran on %s, which had not registered it", c.id, r.hook, r.by.name)
		}
		if r.reason == string(lifecycle.ReasonShutdown) && !r.by.shuttingDown(r.at) {
			c.v.violate("I6: session %s: hook %s ran on %s at %s with the reason shutdown, but the test had not told %[3]s to shut down",
				c.id, r.hook, r.by.name, clock(r.at))
		}
	}
}

// diedWith reports whether an instance was killed before it can have run a closure,
// which was only in its memory.
func (c *trial) diedWith(h event) bool {
	var first time.Time // run of a hook of the end
	for _, runs := range c.started {
		if r, ok := earliest(runs); ok && (first.IsZero() || r.at.Before(first)) {
			first = r.at
		}
	}
	if first.IsZero() {
		return h.by.killed()
	}
	return h.by.killedBefore(first.Add(sweepTime))
}
