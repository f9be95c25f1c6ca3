package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// settleTime is how long is waited at most for what takes no time as a rule.
const settleTime = 30 * time.Second

// until waits for a condition.
func until(ctx context.Context, timeout time.Duration, complaint string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errors.New(complaint))
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if good, err := ok(); good || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// parallel calls f with 0 to n-1, several at a time, and stops at an error.
func parallel(ctx context.Context, n int, f func(i int) error) error {
	return parallelN(ctx, writers, n, func(_, i int) error { return f(i) })
}

// parallelN is parallel with a number of workers; f is told which calls it.
func parallelN(ctx context.Context, workers, n int, f func(worker, i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if errs[w] = errors.Join(f(w, i), ctx.Err()); errs[w] != nil {
					next.Store(int64(n))
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
