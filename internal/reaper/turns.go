package reaper

// turn is a kind of work that a reaper does for a while, before it does another kind.
type turn int

const (
	noTurn      turn = iota
	dueTurn          // to look at sessions that are due
	removedTurn      // to look at sessions whose live keys are said to be deleted or evicted
	expiredTurn      // to look at sessions whose live keys are said to have expired
)

const (
	// hintTurn is how many sessions one turn of hints looks at, at most. What comes due
	// meanwhile waits for that long.
	hintTurn = 1024

	// expiredWait is after how many turns of what is due the hints of expired keys get
	// one. The due-index mostly says the same, and a look at what is due claims more at a
	// time.
	expiredWait = 16
)

// turns decides what a reaper does next. Every kind of work gets its turn, however much
// there is of the others: anybody who may publish in Redis can name as many sessions as
// they like, and ends can come due as fast as they are handled.
type turns struct {
	last   turn
	waited int // how many turns of what is due there were since the last one of expired keys
}

// next returns whose turn it is. The arguments say of which kinds there is work. noTurn
// means that there is none.
func (t *turns) next(due, removed, expired bool) turn {
	work := [...]bool{
		dueTurn:     due,
		removedTurn: removed,
		expiredTurn: expired && (!due || t.waited >= expiredWait),
	}
	for range work {
		t.last = t.last%expiredTurn + 1
		if work[t.last] {
			break
		}
	}
	switch {
	case !work[t.last]:
		return noTurn
	case t.last == dueTurn:
		t.waited++
	case t.last == expiredTurn:
		t.waited = 0
	}
	return t.last
}
