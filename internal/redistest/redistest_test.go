package redistest

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

// A server that is paused or killed does not answer. When it goes on or is restarted it
// answers again, and has its data.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := Start(t, "--appendonly", "yes", "--appendfsync", "always")
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, ReadTimeout: 100 * time.Millisecond})
	defer func() { _ = c.Close() }()
	ctx := context.Background()
	if err := c.Set(ctx, "key", "kept", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	if err := c.Get(ctx, "key").Err(); !os.IsTimeout(err) {
		t.Errorf("paused: %v, want a timeout", err)
	}
	s.Resume()
	slow := Client(t, s.Addr)
	if got, err := slow.Get(ctx, "key").Result(); got != "kept" || err != nil {
		t.Errorf("resumed: %q, %v", got, err)
	}
	s.Kill()
	if err := c.Get(ctx, "key").Err(); err == nil || errors.Is(err, redis.Nil) {
		t.Errorf("killed: %v, want an error of the connection", err)
	}
	s.Restart(t)
	if got, err := slow.Get(ctx, "key").Result(); got != "kept" || err != nil {
		t.Errorf("restarted: %q, %v", got, err)
	}
}

// All tests get the same shared server, and it is not one that a test has started.
func TestSharedIsOne(t *testing.T) {
	t.Parallel()
	if a, b := Shared(t), Shared(t); a != b || a == Start(t).Addr {
		t.Errorf("shared servers: %s and %s, want the same one, and another than Start returns", a, b)
	}
}
