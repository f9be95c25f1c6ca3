package hook

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCallReturnsWhatHappened(t *testing.T) {
	t.Parallel()
	var c Caller
	bad := errors.New("bad")
	if err := c.Call(context.Background(), time.Minute, func(context.Context) error { return bad }); !errors.Is(err, bad) {
		t.Errorf("error: %v", err)
	}
	var p *PanicError
	if err := c.Call(context.Background(), time.Minute, func(context.Context) error { panic("oh") }); !errors.As(err, &p) || p.Value != "oh" || len(p.Stack) == 0 {
		t.Errorf("panic: %v", err)
	}
	for name, bad := range map[string]error{"a nil pointer": (*fs.PathError)(nil), "a bad Is": badIs{}} {
		if err := c.Call(context.Background(), time.Minute, func(context.Context) error { return bad }); !errors.As(err, &p) {
			t.Errorf("%s as an error: %v", name, err)
		}
	}
	if err := c.Call(context.Background(), time.Minute, func(context.Context) error { runtime.Goexit(); return nil }); err == nil {
		t.Error("a hook that ends its goroutine has succeeded")
	}
	if err := c.Call(context.Background(), time.Millisecond, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrHung) {
		t.Errorf("timeout: %v", err)
	}
	if c.Hung() != 0 {
		t.Errorf("%d hung", c.Hung())
	}
}

// badIs is an error that panics when it is asked who it is.
type badIs struct{}

func (badIs) Error() string { return "bad" }
func (badIs) Is(error) bool { panic("bad Is") }

func TestHungHookIsCountedUntilItReturns(t *testing.T) {
	t.Parallel()
	var c Caller
	release := make(chan struct{})
	err := c.Call(context.Background(), time.Millisecond, func(context.Context) error { <-release; return nil })
	if !errors.Is(err, ErrHung) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error: %v", err)
	}
	if c.Hung() != 1 {
		t.Errorf("%d hung", c.Hung())
	}
	close(release)
	for c.Hung() != 0 {
		runtime.Gosched()
	}
}
