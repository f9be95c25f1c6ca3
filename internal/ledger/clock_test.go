package ledger

import (
	"testing"
	"time"
)

// A Clock follows the server's clock, and keeps the better sample.
func TestClock(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	c := &Clock{now: func() time.Time { return now }}
	if c.Unix() != 0 || c.Age() < time.Hour {
		t.Error("a clock without a sample shows a time")
	}
	sent := now
	now = now.Add(2 * time.Millisecond)
	c.Sample(5_000_000, sent)
	now = now.Add(100 * time.Millisecond)
	if got := c.Unix(); got != 5_000_101 {
		t.Errorf("the clock shows %d, want 5000101", got)
	}
	if got := c.Until(5_000_201); got != 100*time.Millisecond {
		t.Errorf("Until = %v, want 100ms", got)
	}
	sent = now
	now = now.Add(5 * time.Second) // a reply that took long
	c.Sample(5_000_150, sent)
	if got := c.Unix(); got != 5_005_101 {
		t.Errorf("the clock shows %d, want 5005101: it has taken a bad sample", got)
	}
	now = now.Add(time.Minute)
	sent = now
	now = now.Add(time.Second)
	c.Sample(6_000_000, sent) // better than such an old sample
	if got := c.Unix(); got != 6_000_500 {
		t.Errorf("the clock shows %d, want 6000500", got)
	}
}
