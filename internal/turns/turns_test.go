package turns

import (
	"context"
	"errors"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// One caller has the turn at a time, and a caller that waits can give up.
func TestTurns(t *testing.T) {
	t.Parallel()
	turns := New()
	done, err := turns.Take(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := turns.Take(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a second turn: %v", err)
	}
	done()
	n := 0
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			done, err := turns.Take(context.Background(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			n++ // without a lock of its own
			done()
		})
	}
	wg.Wait()
	if n != 1000 {
		t.Errorf("%d turns, want 1000", n)
	}
}
