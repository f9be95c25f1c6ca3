package runner

import (
	"maps"
	"sync"
	"sync/atomic"
)

// maxReasons is how many reasons are counted apart. An application may use very many
// reasons of its own; the rest is counted as otherReasons.
const (
	maxReasons   = 64
	otherReasons = "other"
)

// Figures is what a runner has counted since it was made, and what it sees now.
type Figures struct {
	Created  uint64            // sessions whose created hooks ran here
	Ended    map[string]uint64 // ends whose hooks this instance was the first to start, by reason
	Run      uint64            // calls of hooks
	Failed   uint64            // of these, errors, panics and timeouts
	Hung     int               // hooks that ignore their context and have not returned
	Closures int               // closures that are held
}

// Figures returns the runner's figures.
func (r *Runner[S]) Figures() Figures {
	return Figures{
		Created:  r.counters.created.Load(),
		Ended:    r.counters.reasons(),
		Run:      r.counters.run.Load(),
		Failed:   r.counters.failed.Load(),
		Hung:     r.caller.Hung(),
		Closures: r.closures.Count(),
	}
}

type counters struct {
	created, run, failed atomic.Uint64

	mu       sync.Mutex
	byReason map[string]uint64
}

// ended counts an end.
func (c *counters) ended(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byReason == nil {
		c.byReason = make(map[string]uint64)
	}
	if _, known := c.byReason[reason]; !known && len(c.byReason) >= maxReasons {
		reason = otherReasons
	}
	c.byReason[reason]++
}

// reasons returns the counted ends by reason.
func (c *counters) reasons() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.byReason)
}
