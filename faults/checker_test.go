package faults

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// evidence is what the visitors were told, and what the test did that excuses
// something.
type evidence struct {
	mu       sync.Mutex
	sessions map[string]*known

	flushed []window // all that was in Redis is gone
	unsaved []window // what was written then may be gone, or as it was before
	evicted []window // live keys were deleted by others than this library
	buried  map[string]bool
}

// known is a session that a visitor was told of.
type known struct {
	begun time.Time // start of the first request that was answered with it
	seen  time.Time // start of the last one
	alone bool      // it was begun past the instances, without created hooks
}

// window is a span of time.
type window struct{ from, to time.Time }

func (w window) overlaps(from, to time.Time) bool { return !w.from.After(to) && !w.to.Before(from) }

func anyOverlaps(ws []window, from, to time.Time) bool {
	return slices.ContainsFunc(ws, func(w window) bool { return w.overlaps(from, to) })
}

func newEvidence() *evidence {
	return &evidence{sessions: make(map[string]*known), buried: make(map[string]bool)}
}

// answered notes that a request that was sent at from was answered with the
// session.
func (e *evidence) answered(id string, from time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.sessions[id]
	if s == nil {
		s = &known{begun: from}
		e.sessions[id] = s
	}
	if from.After(s.seen) {
		s.seen = from
	}
}

// seeded notes a session that was begun past the instances.
func (e *evidence) seeded(id string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sessions[id] = &known{begun: at, seen: at, alone: true}
}

// during runs what excuses something, and notes when.
func (e *evidence) during(ws *[]window, do func()) {
	from := time.Now()
	do()
	e.mu.Lock()
	defer e.mu.Unlock()
	*ws = append(*ws, window{from, time.Now()})
}

// losing runs what loses the writes of the last moments before it.
func (e *evidence) losing(before time.Duration, do func()) {
	from := time.Now().Add(-before)
	do()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unsaved = append(e.unsaved, window{from, time.Now()})
}

// seen returns when the session was last answered, the moment its request was sent.
func (e *evidence) seen(id string) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions[id].seen
}

// bury notes that the session's end belongs into the dead set.
func (e *evidence) bury(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.buried[id] = true
}

// verdict is what the checker found.
type verdict struct {
	sessions   int // that began
	ends       int // of these, ended and handled
	runs       int // of destroyed hooks
	repeats    int // of these, after the hook had succeeded
	lost       int // ends
	living     int // runs of destroyed hooks for live sessions
	excused    int // sessions that Redis itself lost, by the test's doing
	violations []string
	lags       []time.Duration // end to the first hook's start, sorted
}

func (v *verdict) violate(format string, args ...any) {
	v.violations = append(v.violations, fmt.Sprintf(format, args...))
}

// lag returns a percentile.
func (v *verdict) lag(p float64) time.Duration {
	if len(v.lags) == 0 {
		return 0
	}
	return v.lags[int(p*float64(len(v.lags)-1))]
}

// report fails the test if an invariant was broken.
func (v *verdict) report(t testing.TB) {
	t.Helper()
	for i, text := range v.violations {
		if i == 20 {
			t.Errorf("... and %d more", len(v.violations)-i)
			break
		}
		t.Error(text)
	}
}

// hooks are the global destroyed hooks of every instance.
var hooks = []string{"h1", "h2"}

// clockStep is what Redis's clock in milliseconds may round away.
const clockStep = 2 * time.Millisecond

// overdue is how late an end may be and still have been waiting for when a flush
// took it away: leases have to run out first.
const overdue = time.Minute

// story is all that the journals say of one session.
type story struct {
	created  []event
	started  map[string][]event // by hook, in order of attempts
	outcomes []event            // done and failed
	alive    []event
	held     []event
	closures []event
}

// check holds the journals and the visitors' answers against the invariants of
// the fault matrix. idle is the sessions' idle timeout.
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
		switch ev.kind {
		case created:
			s.created = append(s.created, ev)
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
	slices.SortFunc(v.lags, cmp.Compare)
	return v
}

// trial judges one session.
type trial struct {
	*story
	v     *verdict
	e     *evidence
	id    string
	known *known
	idle  time.Duration
}

// began returns when the session began at the earliest; false if it is not sure
// that it ever did.
func (c *trial) began() (time.Time, bool) {
	switch {
	case c.known != nil:
		return c.known.begun, true
	case len(c.created) > 0:
		return c.created[0].at, true
	}
	return time.Time{}, false
}

// last is the last moment at which the session is known to have lived.
func (c *trial) last() time.Time {
	if c.known != nil {
		return c.known.seen
	}
	if len(c.created) > 0 {
		return c.created[0].at
	}
	return time.Time{}
}

func (c *trial) succeeded(hook string) bool {
	return slices.ContainsFunc(c.outcomes, func(o event) bool { return o.kind == done && o.hook == hook })
}

// noneLost is I1: every hook ran to success for every session that began.
func (c *trial) noneLost() {
	began, sure := c.began()
	if !sure {
		return
	}
	c.v.sessions++
	missing := ""
	for _, h := range hooks {
		c.v.runs += len(c.started[h])
		if !c.succeeded(h) {
			missing = h
		}
	}
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
	case anyOverlaps(c.e.flushed, began, c.last().Add(c.idle+overdue)),
		anyOverlaps(c.e.unsaved, began, c.last()):
		c.v.excused++
	default:
		c.v.lost++
		c.v.violate("I1: session %s, begun %s, last seen %s: hook %s never succeeded: %s", c.id, clock(began), clock(c.last()), missing, c.tell())
	}
}

// noneForLiving is I2, and with it I9: at no time after a hook was called does
// the session answer, nor is a timeout handled before its time.
func (c *trial) noneForLiving() {
	for _, a := range c.alive {
		c.v.living++
		c.v.violate("I2: session %s: hook %s ran at %s while it lived", c.id, a.hook, clock(a.at))
	}
	if c.known == nil {
		return // nobody was told of it: its created hook ran an unknown time after it began
	}
	last := c.known.seen
	for _, runs := range c.started {
		for _, r := range runs {
			if last.After(r.at) {
				c.v.living++
				c.v.violate("I2: session %s: its hook ran at %s, and a request sent at %s was answered with it", c.id, clock(r.at), clock(last))
			}
			if r.reason == "idle timeout" && r.at.Add(clockStep).Before(last.Add(c.idle)) &&
				!anyOverlaps(c.e.unsaved, last, r.at) && !anyOverlaps(c.e.evicted, last, r.at) {
				c.v.living++
				c.v.violate("I2: session %s: last seen at %s, its hook ran at %s, before the idle timeout of %v", c.id, clock(last), clock(r.at), c.idle)
			}
		}
	}
}

// noneRepeated is I3, I4 and I7: a hook runs again, as a later attempt, only where
// the attempt before failed, or its instance was stopped before it could say that it
// had not. One that was stopped just before it called the hook does so when it
// goes on, and may be later then than the attempt after.
func (c *trial) noneRepeated() {
	for hook, runs := range c.started {
		for i := 1; i < len(runs); i++ {
			a, b := runs[i-1], runs[i]
			if b.attempt == a.attempt && !c.unsaved(a, b) {
				c.v.violate("I7: session %s: attempt %d of %s ran on %s at %s and on %s at %s",
					c.id, b.attempt, hook, a.by.name, clock(a.at), b.by.name, clock(b.at))
			}
			if c.outcome(a, failed, "") {
				continue // of this hook or another one: to be tried again
			}
			if c.outcome(a, done, hook) {
				c.v.repeats++
			}
			from, to := a.at, b.at
			if to.Before(from) {
				from, to = to, from
			}
			if !a.by.stoppedBetween(from, to) && !c.unsaved(a, b) {
				c.v.violate("I3: session %s: %s ran on %s at %s and again on %s at %s: %s",
					c.id, hook, a.by.name, clock(a.at), b.by.name, clock(b.at), c.tell())
			}
		}
	}
}

func (c *trial) unsaved(a, b event) bool {
	return anyOverlaps(c.e.unsaved, a.at, b.at) || anyOverlaps(c.e.unsaved, b.at, a.at)
}

// outcome reports whether a hook of the run's attempt came to this; an empty
// name stands for any hook.
func (c *trial) outcome(run event, k kind, hook string) bool {
	return slices.ContainsFunc(c.outcomes, func(o event) bool {
		return o.kind == k && o.by == run.by && o.attempt == run.attempt && (hook == "" || o.hook == hook)
	})
}

// createdFirst is I5.
func (c *trial) createdFirst() {
	if len(c.created) > 1 {
		c.v.violate("I5: session %s: its created hook ran %d times", c.id, len(c.created))
	}
	if c.known != nil && !c.known.alone && len(c.created) == 0 {
		c.v.violate("I5: session %s: a visitor was told of it, its created hook did not run", c.id)
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

// closuresOnce is I6: what a handler registered runs once, there.
func (c *trial) closuresOnce() {
	for _, h := range c.held {
		n := 0
		for _, r := range c.closures {
			if r.hook == h.hook && r.by == h.by {
				n++
			}
		}
		if n > 1 || n == 0 && !h.by.killed() {
			c.v.violate("I6: session %s: hook %s of a handler of %s ran %d times", c.id, h.hook, h.by.name, n)
		}
	}
	for _, r := range c.closures {
		if !r.by.killed() && !slices.ContainsFunc(c.held, func(h event) bool { return h.hook == r.hook && h.by == r.by }) {
			c.v.violate("I6: session %s: hook %s ran on %s, which had not registered it", c.id, r.hook, r.by.name)
		}
	}
}

// tell returns all runs of the session's hooks.
func (c *trial) tell() string {
	text := ""
	for _, h := range hooks {
		for _, r := range c.started[h] {
			text += fmt.Sprintf("; %s on %s at %s, attempt %d, %s", h, r.by.name, clock(r.at), r.attempt, r.reason)
		}
	}
	for _, o := range c.outcomes {
		text += fmt.Sprintf("; %s %s on %s at %s, attempt %d", o.hook, o.kind, o.by.name, clock(o.at), o.attempt)
	}
	if text == "" {
		return "it never ran"
	}
	return text[2:]
}

func earliest(runs []event) (event, bool) {
	if len(runs) == 0 {
		return event{}, false
	}
	return slices.MinFunc(runs, func(a, b event) int { return a.at.Compare(b.at) }), true
}

func clock(t time.Time) string { return t.Format("15:04:05.000000") }
