package faults

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// evidence is what the visitors were told, and what the test did that excuses
// something.
type evidence struct {
	mu        sync.Mutex
	sessions  map[string]*known
	asked     map[string]time.Time // sessions that a visitor asked to end, and when the request was sent
	deadlines map[string]time.Time // absolute timeouts, of sessions begun past the instances
	buried    map[string]bool      // sessions whose ends belong into the dead set

	flushed    map[string]bool // sessions that lived, or whose end waited, when everything was deleted
	tombstones map[string]bool // ends that had been acked then, and told to all but some instances
	unsaved    []window        // what was written then may be gone, or as it was before
	evicted    []window        // live keys were deleted by others than this library
	changes    []change        // of the session in a visitor's cookie
	breaches   []string        // of I11 and I12, each as the test saw it
	apart      *process        // was on the other side of a split that let both sides write
	split      window          // in which it was
}

// known is a session that a visitor was told of, or that the test began.
type known struct {
	begun time.Time // start of the first request that was answered with it
	seen  time.Time // start of the last one
	alone bool      // it was begun past the instances, without created hooks
	safe  bool      // it was on disk, or replicated, before anything was lost
}

// change is an answer after which a visitor had another session than before, or none.
type change struct {
	old, new string    // new is "" if his cookie was taken away
	seen     time.Time // start of the last request that was answered with the old one; zero if it is not known
	at       time.Time // when the answer had come
}

// window is a span of time.
type window struct{ from, to time.Time }

func (w window) overlaps(from, to time.Time) bool { return !w.from.After(to) && !w.to.Before(from) }

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

// changed notes that a visitor has another session now.
func (e *evidence) changed(x change) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.changes = append(e.changes, x)
}

// letIn notes that a forged request was answered with a session, and whether it is
// another one than those that it has the secrets of and than a new one.
func (e *evidence) letIn(id string, from time.Time, may []string) (wrong bool) {
	e.mu.Lock()
	wrong = e.sessions[id] != nil && !slices.Contains(may, id)
	e.mu.Unlock()
	e.answered(id, from)
	return wrong
}

// breach notes what must never be.
func (e *evidence) breach(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.breaches = append(e.breaches, fmt.Sprintf(format, args...))
}

// askedToEnd notes that a visitor asked for the session's end.
func (e *evidence) askedToEnd(id string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if first, ok := e.asked[id]; !ok || at.Before(first) {
		e.asked[id] = at
	}
}

// seeding notes a session that is about to be begun past the instances: should the
// reply be lost, nobody knows whether it was.
func (e *evidence) seeding(id string, deadline time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deadlines[id] = deadline
}

// seeded notes that it was begun.
func (e *evidence) seeded(id string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sessions[id] = &known{begun: at, seen: at, alone: true}
}

// keptSafe notes that Redis has no excuse to lose these sessions.
func (e *evidence) keptSafe(ids []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		e.sessions[id].safe = true
	}
}

// lostToFlush notes what was in Redis when everything was deleted: the members of
// the due-index and the dead set, and the sessions of which there was a record.
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

// evicting runs what has others than this library delete live keys.
func (e *evidence) evicting(do func()) {
	from := time.Now()
	do()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.evicted = append(e.evicted, window{from, time.Now()})
}

// losing runs what loses the writes of the last moments before it.
func (e *evidence) losing(before time.Duration, do func()) {
	from := time.Now().Add(-before)
	do()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unsaved = append(e.unsaved, window{from, time.Now()})
}

// splitting runs what lets p write to another Redis than the rest, of which nothing
// is kept.
func (e *evidence) splitting(p *process, do func()) {
	from := time.Now()
	do()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.apart, e.split = p, window{from, time.Now()}
}

// onItsOwn reports whether an instance did something in a world of its own.
func (e *evidence) onItsOwn(ev event) bool {
	return e.apart != nil && ev.by == e.apart && e.split.overlaps(ev.at, ev.at)
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
