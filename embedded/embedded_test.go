package embedded_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gin-lifecycle/lifecycle/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A key expires without any command.
func TestKeysExpireByThemselves(t *testing.T) {
	t.Parallel()
	c, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.Set(ctx, "k", "v", 20*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	for c.Exists(ctx, "k").Val() == 1 {
		if ctx.Err() != nil {
			t.Fatal("the key is still there")
		}
	}
}

func TestCloseTwice(t *testing.T) {
	t.Parallel()
	c, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
