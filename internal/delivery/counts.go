package delivery

import "sync/atomic"

// Counts is what a delivery has counted since it was made.
type Counts struct {
	Retried uint64 // attempts after which failed hooks were put off to a further attempt
	Buried  uint64 // ends that were put into the dead set
}

type counts struct{ retried, buried atomic.Uint64 }

// Counts returns what has been counted so far.
func (d *Delivery) Counts() Counts {
	return Counts{Retried: d.counts.retried.Load(), Buried: d.counts.buried.Load()}
}
