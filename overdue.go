package lifecycle

import (
	"context"
	"time"
)

// givenUp are buckets that this instance has given up because its hooks hang.
// Where there are no other instances nobody looks after them, and that is when the
// figure is needed: how long their ends have been waiting is read on.
type givenUp struct {
	buckets []int
	first   int64 // when the first of their entries is due, Unix ms; 0 if none is known
}

// giveUp notes the buckets as given up, of which the oldest end has been waiting
// for overdue.
func (g *givenUp) giveUp(buckets []int, overdue time.Duration, now int64) {
	g.buckets = buckets
	if overdue > 0 {
		g.first = now - overdue.Milliseconds()
	}
}

// readGivenUp reads when the first entry of the buckets given up is due.
func (bg *background) readGivenUp(ctx context.Context) {
	bg.mu.Lock()
	buckets := bg.givenUp.buckets
	bg.mu.Unlock()
	if len(buckets) == 0 {
		return
	}
	heads, err := bg.m.store.ledger.Heads(ctx, buckets, 1)
	if err != nil {
		return // what is known stands
	}
	var first int64
	for _, head := range heads {
		if len(head.Entries) > 0 && (first == 0 || head.Entries[0].At < first) {
			first = head.Entries[0].At
		}
	}
	bg.mu.Lock()
	bg.givenUp.first = first
	bg.mu.Unlock()
}

// overdue returns for how long the oldest end of the buckets that this instance
// looks after, or has given up, has been waiting.
func (bg *background) overdue() time.Duration {
	bg.mu.Lock()
	first := bg.givenUp.first
	bg.mu.Unlock()
	if first == 0 {
		return bg.reapers.Overdue()
	}
	return time.Duration(max(bg.m.store.ledger.Clock(0).Unix()-first, 0)) * time.Millisecond
}
