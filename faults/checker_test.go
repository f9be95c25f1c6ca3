package faults

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// hooks are the global destroyed hooks of every instance.
var hooks = []string{"h1", "h2"}

// clockStep is how much time may seem to be missing because Redis counts milliseconds.
const clockStep = 2 * time.Millisecond

// story is what all journals contain about one session.
type story struct {
	created  []event
	claims   []event
	acks     []event
	started  map[string][]event // by hook, in the order of their attempts
	outcomes []event            // of the kinds done and failed
	alive    []event
	held     []event
	closures []event
}

// check compares the journals and the responses to the visitors with the invariants I1 to
// I12. idle is the sessions' idle timeout.
func (e *evidence) check(events []event, idle time.Duration) verdict {
	e.mu.Lock()
	defer e.mu.Unlock()
	stories := make(map[string]*story)
	for _, ev := range events {
		s := stories[ev.id]
		if s == nil {
			s = &story{started: make(map[string][]event)}
			stories[ev.id] = s
		}
		s.add(ev)
	}
	for id := range e.sessions {
		if stories[id] == nil {
			stories[id] = &story{}
		}
	}
	var v verdict
	for id, s := range stories {
		for _, runs := range s.started {
			slices.SortStableFunc(runs, func(a, b event) int {
				return cmp.Or(cmp.Compare(a.attempt, b.attempt), a.at.Compare(b.at))
			})
		}
		c := trial{v: &v, e: e, id: id, story: s, known: e.sessions[id], idle: idle}
		c.noneLost()
		c.noneForLiving()
		c.noneRepeated()
		c.createdFirst()
		c.closuresOnce()
	}
	for _, x := range e.changes {
		e.nobodySignedOut(&v, x, idle)
	}
	v.violations = append(v.violations, e.breaches...)
	slices.SortFunc(v.lags, cmp.Compare)
	return v
}

// add sorts a line of a journal in.
func (s *story) add(ev event) {
	switch ev.kind {
	case created:
		s.created = append(s.created, ev)
	case claimed:
		s.claims = append(s.claims, ev)
	case acked:
		s.acks = append(s.acks, ev)
	case started:
		s.started[ev.hook] = append(s.started[ev.hook], ev)
	case done, failed:
		s.outcomes = append(s.outcomes, ev)
	case alive:
		s.alive = append(s.alive, ev)
	case held:
		s.held = append(s.held, ev)
	case closure:
		s.closures = append(s.closures, ev)
	}
}

// trial judges what happened to one session.
type trial struct {
	*story
	v     *verdict
	e     *evidence
	id    string
	known *known
	idle  time.Duration
}

// began returns the earliest moment at which the session may have begun. It returns false
// if it is not certain that the session began at all.
func (c *trial) began() (time.Time, bool) {
	switch {
	case c.known != nil:
		return c.known.begun, true
	case len(c.created) > 0:
		return c.created[0].at, true
	}
	return time.Time{}, false
}

// last is the last moment at which the session is known to have been live.
func (c *trial) last() time.Time {
	if c.known != nil {
		return c.known.seen
	}
	if len(c.created) > 0 {
		return c.created[0].at
	}
	return time.Time{}
}

// succeeded reports whether the hook has returned nil.
func (c *trial) succeeded(hook string) bool {
	return slices.ContainsFunc(c.outcomes, func(o event) bool { return o.kind == done && o.hook == hook })
}

// noneLost is I1: for every session that began, every destroyed hook succeeded. It also
// counts what the verdict reports.
func (c *trial) noneLost() {
	c.v.created += len(c.created)
	c.v.closures += len(c.closures)
	missing := ""
	for _, h := range hooks {
		c.v.runs += len(c.started[h])
		if !c.succeeded(h) {
			missing = h
		}
	}
	began, sure := c.began()
	if !sure {
		return
	}
	c.v.sessions++
	switch {
	case c.e.buried[c.id]:
		if missing == "" {
			c.v.violate("I1: session %s: its end is not in the dead set", c.id)
		}
	case missing == "":
		c.v.ends++
		if r, ok := earliest(c.started[hooks[0]]); ok {
			c.v.lags = append(c.v.lags, r.at.Sub(r.ended))
		}
	case c.gone(began):
		c.v.excused++
	default:
		c.v.lost++
		c.v.violate("I1: session %s, begun %s, last seen %s: hook %s never succeeded: %s", c.id, clock(began), clock(c.last()), missing, c.history())
	}
}

// gone reports whether the test made Redis lose the session.
func (c *trial) gone(began time.Time) bool {
	if c.known != nil && c.known.safe {
		return false
	}
	return c.e.flushed[c.id] || anyOverlaps(c.e.unsaved, began, c.last())
}

// createdFirst is I5: created hooks run once, and before the destroyed hooks.
func (c *trial) createdFirst() {
	if len(c.created) > 1 {
		c.v.violate("I5: session %s: its created hook ran %d times", c.id, len(c.created))
	}
	if c.known != nil && !c.known.seeded && len(c.created) == 0 {
		c.v.violate("I5: session %s: an instance responded with it, but its created hook did not run", c.id)
	}
	if len(c.created) == 0 {
		return
	}
	for _, runs := range c.started {
		r, ok := earliest(runs)
		if ok && r.at.Before(c.created[0].at) && !c.created[0].by.stoppedBetween(r.at, c.created[0].at) {
			c.v.violate("I5: session %s: destroyed at %s, created at %s", c.id, clock(r.at), clock(c.created[0].at))
		}
	}
}

// history lists the session's claims and acks and the runs of its hooks, for a message.
func (c *trial) history() string {
	var lines []event
	lines = append(lines, c.claims...)
	lines = append(lines, c.acks...)
	lines = append(lines, c.outcomes...)
	for _, h := range hooks {
		lines = append(lines, c.started[h]...)
	}
	if len(lines) == 0 {
		return "it was never claimed"
	}
	slices.SortStableFunc(lines, func(a, b event) int { return a.at.Compare(b.at) })
	text := ""
	for _, l := range lines {
		text += fmt.Sprintf("; %s %s %s on %s, attempt %d", clock(l.at), l.kind, l.hook, l.by.name, l.attempt)
		if l.kind == started {
			text += ", " + l.reason
		}
	}
	return text[2:]
}

// earliest returns the event with the earliest time; false if there is none.
func earliest(runs []event) (event, bool) {
	if len(runs) == 0 {
		return event{}, false
	}
	return slices.MinFunc(runs, func(a, b event) int { return a.at.Compare(b.at) }), true
}

// clock formats a time for a message.
func clock(t time.Time) string { return t.Format("15:04:05.000000") }
