package redistest

import (
	"errors"
	"testing"
	"time"
)

// Patience is how long a test waits for anything at most. It is not the time that
// anything should take: a wait that reaches it has found something broken.
const Patience = 30 * time.Second

// ErrNever is what Poll returns when the condition was never true.
var ErrNever = errors.New("never happened")

// Poll calls ok every few milliseconds until ok returns true. It returns ErrNever if
// that does not happen within patience. Use Eventually where there is a testing.TB.
func Poll(patience time.Duration, ok func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			return ErrNever
		}
	}
	return nil
}

// Receive returns the next value from ch. It fails the test if none comes within
// Patience.
func Receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(Patience):
		t.Fatal("nothing was sent to the channel")
		panic("unreachable")
	}
}
