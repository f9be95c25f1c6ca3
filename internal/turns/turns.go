// Package turns lets callers that work on the same thing take turns.
package turns

import (
	"context"

	"github.com/cespare/xxhash/v2"
)

// stripes is how many callers can have a turn at the same time.
const stripes = 64

// Turns gives one caller of each name a turn at a time. Names with the same hash take turns
// with each other as well. It is safe for concurrent use. Make it with New.
type Turns [stripes]chan struct{}

// New returns turns that nobody has.
func New() *Turns {
	var t Turns
	for i := range t {
		t[i] = make(chan struct{}, 1)
	}
	return &t
}

// Take waits for the turn of a name, until ctx ends. The caller must call done.
func (t *Turns) Take(ctx context.Context, name string) (done func(), err error) {
	turn := t[xxhash.Sum64String(name)%stripes]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
