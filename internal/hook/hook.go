// Package hook calls functions of the application so that what they do wrong
// stays with them.
package hook

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// ErrHung is returned for a hook that did not return in time after its context
// had ended.
var ErrHung = errors.New("hook ignores its context and was left behind")

// PanicError is a recovered panic.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("hook panicked: %v", e.Value) }

// grace is how long a hook may take to return after its context has ended.
const grace = 250 * time.Millisecond

// Caller calls hooks. The zero value is ready; it is safe for concurrent use.
type Caller struct {
	hung atomic.Int64
}

// Hung returns how many hooks were left behind and have not returned yet.
func (c *Caller) Hung() int { return int(c.hung.Load()) }

// Call calls fn with a context that ends after timeout. It returns fn's error, a
// *PanicError, also where fn's error panics when it is looked at, or ErrHung
// shortly after the context has ended; a hook left behind goes on in its own
// goroutine and is counted until it returns.
func (c *Caller) Call(ctx context.Context, timeout time.Duration, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan error, 1)
	var left atomic.Bool
	go run(ctx, fn, func(err error) {
		if !left.CompareAndSwap(false, true) {
			c.hung.Add(-1)
			return
		}
		done <- err
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	wait := time.NewTimer(grace)
	defer wait.Stop()
	select {
	case err := <-done:
		return err
	case <-wait.C:
	}
	c.hung.Add(1)
	if !left.CompareAndSwap(false, true) {
		c.hung.Add(-1)
		return <-done // it returned just now
	}
	return fmt.Errorf("%w: %w", ErrHung, context.Cause(ctx))
}

// run calls fn and then, in any case, done.
func run(ctx context.Context, fn func(context.Context) error, done func(error)) {
	// Not only by a panic: runtime.Goexit, as t.FailNow calls it, ends here too.
	err := errors.New("hook ended its goroutine")
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
		done(err)
	}()
	err = fn(ctx)
	if err != nil {
		// Others will ask the error who it is. Where that panics, a nil pointer as an
		// error for one, it must do so here.
		_ = err.Error()
		errors.As(err, new(*PanicError))
		errors.Is(err, errProbe)
	}
}

var errProbe = errors.New("an error that no hook returns")
