package hook

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// ErrHung is returned for a hook that had not returned some time after its context ended.
var ErrHung = errors.New("hook ignores its context and was left behind")

// PanicError is returned for a hook that has panicked.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // the stack of the hook's goroutine
}

func (e *PanicError) Error() string { return fmt.Sprintf("hook panicked: %v", e.Value) }

// grace is how long a hook may take to return after its context has ended. Then it is left
// behind.
const grace = 250 * time.Millisecond

// Caller calls hooks and counts those that hang. The zero value is ready to use. It is safe
// for concurrent use.
type Caller struct {
	hung atomic.Int64
}

// Hung returns how many hooks were left behind and have not returned since.
func (c *Caller) Hung() int { return int(c.hung.Load()) }

// Call calls fn with a context that ends after timeout, and waits until fn has returned. It
// returns fn's error, or a *PanicError if fn panics or a method of fn's error does. If fn
// ignores that its context has ended, Call returns ErrHung shortly afterwards, and fn goes
// on in its own goroutine. Hung counts it until it returns.
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
		return <-done // the hook has returned just now
	}
	return fmt.Errorf("%w: %w", ErrHung, context.Cause(ctx))
}

// run calls fn, and then done with the result. It calls done in any case.
func run(ctx context.Context, fn func(context.Context) error, done func(error)) {
	// This error stays if fn calls runtime.Goexit, as t.FailNow does: the deferred function
	// runs then too, and there is no panic to recover.
	err := errors.New("hook ended its goroutine")
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
		done(err)
	}()
	err = fn(ctx)
	if err != nil {
		// Callers use errors.Is and errors.As later. An error that panics there, such as a nil
		// pointer of an error type, must panic here.
		_ = err.Error()
		errors.As(err, new(*PanicError))
		errors.Is(err, errProbe)
	}
}

// errProbe is an error to call errors.Is with.
var errProbe = errors.New("an error that no hook returns")
