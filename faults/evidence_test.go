package faults

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// evidence is what the checker knows beside the journals: what the instances responded to
// the visitors, and what the test did that excuses a loss.
type evidence struct {
	mu        sync.Mutex
	sessions  map[string]*known
	asked     map[string]time.Time // when a visitor sent the request to end a session, by the session's ID
	deadlines map[string]time.Time // the absolute timeouts of seeded sessions
	buried    map[string]bool      // sessions whose ends belong into the dead set

	flushed    map[string]bool // sessions that were live, or whose end waited, when the test flushed Redis
	tombstones map[string]bool // ends that had been acked when the test flushed Redis, but that some instances had not heard of
	unsaved    []window        // writes in these times may be lost
	evicted    []window        // in these times live keys were deleted, and not by the library
	changes    []change
	breaches   []string // of I11 and I12, as the test saw them
	apart      *process // the instance that was cut off from the rest together with a Redis master
	split      window   // when that was
}

// known is a session that the test knows of: an instance responded with it, or the test
// seeded it, which means that it wrote the session to Redis itself.
type known struct {
	begun  time.Time // when the first request was sent that was answered with the session
	seen   time.Time // when the last such request was sent
	seeded bool      // no created hook ran
	safe   bool      // it was on disk, or replicated, before Redis lost anything
}

// change is a response after which a visitor had another session than before, or none.
type change struct {
	old, new string    // IDs; new is "" if the response took the cookie away
	seen     time.Time // when the last request was sent that was answered with the old session; zero if that is not known
	at       time.Time // when the response had come
	request  string    // for the violation's text
}

// window is a span of time.
type window struct{ from, to time.Time }

// overlaps reports whether the window has a moment between from and to.
func (w window) overlaps(from, to time.Time) bool { return !w.from.After(to) && !w.to.Before(from) }

// anyOverlaps reports whether one of the windows has a moment between from and to.
func anyOverlaps(ws []window, from, to time.Time) bool {
	return slices.ContainsFunc(ws, func(w window) bool { return w.overlaps(from, to) })
}

func newEvidence() *evidence {
	return &evidence{
		sessions:   make(map[string]*known),
		asked:      make(map[string]time.Time),
		deadlines:  make(map[string]time.Time),
		buried:     make(map[string]bool),
		flushed:    make(map[string]bool),
		tombstones: make(map[string]bool),
	}
}

// responded notes that an instance responded with the session to a request that was sent
// at from.
func (e *evidence) responded(id string, from time.Time) {
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

// changed notes that a visitor has another session now, or none.
func (e *evidence) changed(x change) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.changes = append(e.changes, x)
}

// letIn notes that an instance responded with a session to a forged request. It returns
// whether that is wrong: the session existed already, and may, the sessions whose secrets
// were in the request, does not contain it.
func (e *evidence) letIn(id string, from time.Time, may []string) (wrong bool) {
	e.mu.Lock()
	wrong = e.sessions[id] != nil && !slices.Contains(may, id)
	e.mu.Unlock()
	e.responded(id, from)
	return wrong
}

// breach notes that the test saw a broken invariant itself.
func (e *evidence) breach(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.breaches = append(e.breaches, fmt.Sprintf(format, args...))
}

// askedToEnd notes that a visitor sent a request to end the session.
func (e *evidence) askedToEnd(id string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if first, ok := e.asked[id]; !ok || at.Before(first) {
		e.asked[id] = at
	}
}

// seeding notes that the test is about to seed a session. If the reply is lost, the test
// never learns whether the session began.
func (e *evidence) seeding(id string, deadline time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deadlines[id] = deadline
}

// seeded notes that the session has begun.
func (e *evidence) seeded(id string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sessions[id] = &known{begun: at, seen: at, seeded: true}
}

// keptSafe notes that there is no excuse if Redis loses these sessions.
func (e *evidence) keptSafe(ids []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		e.sessions[id].safe = true
	}
}

// lostToFlush notes which sessions were in Redis when the test flushed it: waiting had an
// entry in a due-index or a dead set, recorded had a record.
func (e *evidence) lostToFlush(waiting, recorded []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	there := make(map[string]bool)
	for _, id := range waiting {
		e.flushed[id], there[id] = true, true
	}
	for _, id := range recorded {
		if !there[id] {
			e.tombstones[id] = true
		}
	}
}

// evicting runs do, in which live keys are deleted, and not by the library.
func (e *evidence) evicting(do func()) {
	from := time.Now()
	do()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.evicted = append(e.evicted, window{from, time.Now()})
}

// losing runs do, which may lose what was written while it runs, or before it by so much.
func (e *evidence) losing(before time.Duration, do func()) {
	from := time.Now().Add(-before)
	do()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unsaved = append(e.unsaved, window{from, time.Now()})
}

// splitting runs do, in which p writes to another Redis master than the rest of the fleet.
// All that p writes meanwhile is lost afterwards.
func (e *evidence) splitting(p *process, do func()) {
	from := time.Now()
	do()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.apart, e.split = p, window{from, time.Now()}
}

// whileApart reports whether an event is one of the instance that was cut off, while it
// was cut off.
func (e *evidence) whileApart(ev event) bool {
	return e.apart != nil && ev.by == e.apart && e.split.overlaps(ev.at, ev.at)
}

// seen returns when the last request was sent that was answered with the session.
func (e *evidence) seen(id string) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions[id].seen
}

// bury notes that the session's end is to be in the dead set when the test ends.
func (e *evidence) bury(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.buried[id] = true
}
