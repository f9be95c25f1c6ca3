package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// settleTime is how long to wait at most for something that normally takes almost no time.
const settleTime = 30 * time.Second

// until waits until ok returns true or an error. After the timeout it returns an error with the
// text complaint.
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

// parallel calls f with each number from 0 to n-1, several at a time. It stops after an error.
func parallel(ctx context.Context, n int, f func(i int) error) error {
	return parallelN(ctx, writers, n, func(_, i int) error { return f(i) })
}

// parallelN is parallel with a number of workers. f also gets the number of the worker that calls
// it.
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
