package reaper

// turn is what a reaper looks at until it asks what is next.
type turn int

const (
	noTurn      turn = iota
	dueTurn          // what the due-index says is due
	goneTurn         // sessions whose live keys are said to be deleted or evicted
	expiredTurn      // sessions whose live keys are said to be expired
)

const (
	// hintTurn is how many sessions a turn of hints looks at, at most: what comes due
	// meanwhile waits for so long.
	hintTurn = 1024

	// expiredWait is for how many turns of what is due the hints of expired keys wait.
	// The due-index mostly says the same, and its look claims more at a time.
	expiredWait = 16
)

// turns says what is looked at next. Every kind of which there is something gets its
// turn, however much there is of the others: anybody who may publish can name as
// many sessions as he likes, and ends can come due as fast as they are handled.
type turns struct {
	last   turn
	waited int // turns of what is due since the last one of expired keys
}

// next says whose turn it is, of the kinds of which there is something; noTurn if
// there is nothing.
func (t *turns) next(due, gone, expired bool) turn {
	there := [...]bool{
		dueTurn:     due,
		goneTurn:    gone,
		expiredTurn: expired && (!due || t.waited >= expiredWait),
	}
	for range there {
		t.last = t.last%expiredTurn + 1
		if there[t.last] {
			break
		}
	}
	switch {
	case !there[t.last]:
		return noTurn
	case t.last == dueTurn:
		t.waited++
	case t.last == expiredTurn:
		t.waited = 0
	}
	return t.last
}
