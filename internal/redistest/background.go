package redistest

import (
	"context"
	"sync"
	"testing"
)

// Background calls each run in a goroutine of its own. When the test ends, Background cancels
// their context and waits until all have returned.
func Background(t testing.TB, runs ...func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range runs {
		wg.Go(func() { run(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}
