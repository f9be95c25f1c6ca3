package lifecycle

import (
	"context"

	"github.com/cespare/xxhash/v2"
)

// turns lets the requests of one session on this instance save one after the other, once they
// have got in each other's way. Without it, one of many could lose the race again and again.
// Sessions with the same hash take turns with each other as well.
type turns [64]chan struct{}

func newTurns() *turns {
	var t turns
	for i := range t {
		t[i] = make(chan struct{}, 1)
	}
	return &t
}

// take waits for the turn of a session, until ctx ends. The caller must call done.
func (t *turns) take(ctx context.Context, id string) (done func(), err error) {
	turn := t[xxhash.Sum64String(id)%uint64(len(t))]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
