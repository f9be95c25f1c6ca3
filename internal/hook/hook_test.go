package hook

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Call returns an error for everything that can go wrong in a hook.
func TestCallReturnsWhatHappened(t *testing.T) {
	t.Parallel()
	var c Caller
	bad := errors.New("bad")
	if err := c.Call(context.Background(), time.Minute, func(context.Context) error { return bad }); !errors.Is(err, bad) {
		t.Errorf("a hook that fails: %v, want %v", err, bad)
	}
	var p *PanicError
	if err := c.Call(context.Background(), time.Minute, func(context.Context) error { panic("oh") }); !errors.As(err, &p) || p.Value != "oh" || len(p.Stack) == 0 {
		t.Errorf("a hook that panics: %v, want a *PanicError with value and stack", err)
	}
	for name, bad := range map[string]error{"a nil pointer": (*fs.PathError)(nil), "a bad Is": badIs{}} {
		if err := c.Call(context.Background(), time.Minute, func(context.Context) error { return bad }); !errors.As(err, &p) {
			t.Errorf("a hook that returns %s as its error: %v, want a *PanicError", name, err)
		}
	}
	if err := c.Call(context.Background(), time.Minute, func(context.Context) error { runtime.Goexit(); return nil }); err == nil {
		t.Error("a hook that ends its goroutine: no error")
	}
	if err := c.Call(context.Background(), time.Millisecond, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrHung) {
		t.Errorf("a hook that returns when its time is over: %v, want %v", err, context.DeadlineExceeded)
	}
	if c.Hung() != 0 {
		t.Errorf("Hung = %d, want 0", c.Hung())
	}
}

// badIs is an error that panics in errors.Is.
type badIs struct{}

func (badIs) Error() string { return "bad" }
func (badIs) Is(error) bool { panic("bad Is") }

// A hook that ignores its context is left behind, and counted until it returns.
func TestHungHookIsCountedUntilItReturns(t *testing.T) {
	t.Parallel()
	var c Caller
	release := make(chan struct{})
	err := c.Call(context.Background(), time.Millisecond, func(context.Context) error { <-release; return nil })
	if !errors.Is(err, ErrHung) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a hook that hangs: %v, want %v and %v", err, ErrHung, context.DeadlineExceeded)
	}
	if c.Hung() != 1 {
		t.Errorf("Hung = %d, want 1", c.Hung())
	}
	close(release)
	redistest.Eventually(t, "the hook has returned and is no longer counted", func() bool { return c.Hung() == 0 })
}
