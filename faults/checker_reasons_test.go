package faults

import (
	"fmt"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle"
)

// byHook is the reason with which a hook that uses the API ends the session that
// it began.
const byHook lifecycle.Reason = "by a hook"

// noneForLiving is I2, and with it I9: at no time after a hook was called does
// the session answer, and what the hook was told of the end is true.
func (c *trial) noneForLiving() {
	for _, a := range c.alive {
		if c.e.onItsOwn(a) {
			continue
		}
		c.v.living++
		c.v.violate("I2: session %s: hook %s ran at %s while it lived", c.id, a.hook, clock(a.at))
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
		if r.reason != string(lifecycle.ReasonShutdown) { // at which sessions live on
			c.endedBefore(r)
		}
	}
}

func (c *trial) endedBefore(r event) {
	if c.e.onItsOwn(r) {
		c.v.torn++
		return
	}
	wrong := c.wrong(r)
	if c.known != nil && c.known.seen.After(r.at) {
		wrong = "a request sent after it was answered with it"
	}
	if wrong != "" {
		c.v.living++
		c.v.violate("I2: session %s, last seen at %s: its hook %s ran at %s with the reason %s: %s",
			c.id, clock(c.last()), r.hook, clock(r.at), r.reason, wrong)
	}
}

// wrong says what is wrong with the reason that a hook was given, "" if nothing.
// Of a session that nobody was told of only its created hook is known, which ran
// an unknown time after it began.
func (c *trial) wrong(r event) string {
	last := c.last()
	switch lifecycle.Reason(r.reason) {
	case lifecycle.ReasonIdleTimeout:
		idle := c.idle
		if c.known != nil && c.known.alone {
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
			return "no visitor had asked for that"
		}
	case lifecycle.ReasonEvicted, lifecycle.ReasonDeleted:
		if !anyOverlaps(c.e.evicted, last, r.at) {
			return "nobody else had deleted its live key"
		}
	case lifecycle.ReasonLost:
		// Once the end is acked only handlers' hooks may still hear of it, elsewhere.
		taken := c.e.flushed[c.id] || r.kind == closure && (c.e.tombstones[c.id] || c.tombstoneEvicted(r.at))
		if began, _ := c.began(); !taken && !anyOverlaps(c.e.unsaved, began, r.at) {
			return "Redis had not lost it"
		}
	case byHook:
		if c.known != nil {
			return "a visitor's session is no hook's"
		}
	default:
		return "nobody gives that one"
	}
	return ""
}

// tombstoneEvicted reports whether Redis may have evicted what the end, once its
// hooks had run, had left for the hooks of handlers elsewhere.
func (c *trial) tombstoneEvicted(before time.Time) bool {
	return slices.ContainsFunc(c.outcomes, func(o event) bool {
		return o.kind == done && o.hook == hooks[len(hooks)-1] && !o.at.After(before) && anyOverlaps(c.e.evicted, o.at, before)
	})
}

// sweepTime is more than the time after which an instance that missed the message
// of an end has found it out by itself.
const sweepTime = time.Minute

// closuresOnce is I6: what a handler registered runs once, there.
func (c *trial) closuresOnce() {
	for _, h := range c.held {
		n := 0
		for _, r := range c.closures {
			if r.hook == h.hook && r.by == h.by {
				n++
			}
		}
		if n > 1 || n == 0 && !c.diedWith(h) {
			c.v.violate("I6: session %s: hook %s of a handler of %s ran %d times", c.id, h.hook, h.by.name, n)
		}
	}
	for _, r := range c.closures {
		if !r.by.killed() && !slices.ContainsFunc(c.held, func(h event) bool { return h.hook == r.hook && h.by == r.by }) {
			c.v.violate("I6: session %s: hook %s ran on %s, which had not registered it", c.id, r.hook, r.by.name)
		}
		if r.reason == string(lifecycle.ReasonShutdown) && !r.by.toldToShutDown(r.at) {
			c.v.violate("I6: session %s: hook %s ran on %s at %s for its shutdown, to which nobody had told it",
				c.id, r.hook, r.by.name, clock(r.at))
		}
	}
}

// diedWith reports whether a handler's hook was still in the memory of an instance
// that was killed.
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
