package delivery

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRetryDelay(t *testing.T) {
	t.Parallel()
	r := Retry{Attempts: 100, Min: time.Second, Max: time.Hour}
	for attempt, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 11: 1024 * time.Second, 13: time.Hour, 64: time.Hour, 1000: time.Hour} {
		for range 100 {
			if d := r.delay(attempt); d < want*4/5 || d > want*6/5 {
				t.Errorf("attempt %d: %v, want about %v", attempt, d, want)
			}
		}
	}
	// Doubled often enough, a pause would overflow.
	r = Retry{Attempts: 1000, Min: time.Hour, Max: 24 * time.Hour}
	for attempt := 1; attempt <= r.Attempts; attempt++ {
		if d := r.delay(attempt); d < 48*time.Minute || d > 29*time.Hour {
			t.Errorf("attempt %d: %v", attempt, d)
		}
	}
}

// slow is a runner whose runs wait to be let go.
type slow struct {
	began chan string
	next  chan struct{}
}

func (s *slow) Deliver(_ context.Context, lease Lease, c *ledger.Claim) Outcome {
	s.began <- c.ID
	<-s.next
	return Outcome{Err: lease.Check()}
}

func (s *slow) Hung() int { return 0 }

// News that is told again and again waits once, and a second run of it neither
// shares nor ends the first one's context.
func TestRepeatedNews(t *testing.T) {
	t.Parallel()
	s := &slow{began: make(chan string, 10), next: make(chan struct{})}
	d := New(Config{Runner: s, Workers: 2, Lease: time.Minute, Log: slog.New(slog.DiscardHandler)})
	d.Start()
	news := func() { d.Submit([]*ledger.Claim{{End: ledger.End{ID: "a"}}}) }
	news()
	<-s.began
	for range 100 {
		news()
	}
	<-s.began // the second worker has taken it: the queue is empty
	for range 100 {
		news()
	}
	d.mu.Lock()
	waiting := len(d.queue)
	d.mu.Unlock()
	if waiting != 1 {
		t.Errorf("%d pieces of the same news wait", waiting)
	}
	close(s.next)
	<-s.began
	if err := d.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	if len(d.held) != 0 {
		t.Errorf("%d holdings are left", len(d.held))
	}
}

// A lease is over when its time is, though nobody has come to tell.
func TestLeaseChecksTheTime(t *testing.T) {
	t.Parallel()
	d := New(Config{Lease: time.Minute})
	ctx, cancel := context.WithCancelCause(context.Background())
	h := &holding{until: time.Now().Add(time.Minute)}
	lease := d.lease(ctx, h)
	if err := lease.Check(); err != nil {
		t.Errorf("a good lease: %v", err)
	}
	h.until = time.Now().Add(-time.Millisecond)
	if err := lease.Check(); !errors.Is(err, ErrLeaseOver) {
		t.Errorf("its time is over: %v", err)
	}
	cancel(ErrLeaseLost)
	if err := lease.Check(); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("it was taken over: %v", err)
	}
}
