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

// slow is a runner whose hooks return when the test lets them.
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

// The same news, submitted many times, waits once. Where it runs twice at the same time,
// the second run neither shares the first one's context nor ends it.
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
		t.Errorf("the same news waits %d times, want once", waiting)
	}
	close(s.next)
	<-s.began
	if err := d.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	if len(d.tasks) != 0 {
		t.Errorf("%d tasks are left after Drain", len(d.tasks))
	}
}

// A lease is over when its time is, even if nobody has said so.
func TestLeaseChecksTheTime(t *testing.T) {
	t.Parallel()
	d := New(Config{Lease: time.Minute})
	ctx, cancel := context.WithCancelCause(context.Background())
	x := &task{leaseEnd: time.Now().Add(time.Minute)}
	lease := d.leaseOf(ctx, x)
	if err := lease.Check(); err != nil {
		t.Errorf("before the end of the lease: %v", err)
	}
	x.leaseEnd = time.Now().Add(-time.Millisecond)
	if err := lease.Check(); !errors.Is(err, ErrLeaseOver) {
		t.Errorf("after the end of the lease: %v, want %v", err, ErrLeaseOver)
	}
	cancel(ErrLeaseLost)
	if err := lease.Check(); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("after another instance has taken the claim over: %v, want %v", err, ErrLeaseLost)
	}
}

// What becomes of a claim depends on its hooks' outcome, on the number of attempts, and on
// whether the instance shuts down.
func TestSettlementOfAnOutcome(t *testing.T) {
	t.Parallel()
	failed := errors.New("the hook's own error")
	for name, c := range map[string]struct {
		outcome  Outcome
		attempt  int
		shutdown bool
		want     ledger.Verdict
		delay    time.Duration // about; 0 for none
	}{
		"all have succeeded":             {Outcome{}, 1, false, ledger.Ack, 0},
		"succeeded at the last attempt":  {Outcome{}, 5, false, ledger.Ack, 0},
		"succeeded during the shutdown":  {Outcome{}, 1, true, ledger.Ack, 0},
		"failed":                         {Outcome{Err: failed}, 1, false, ledger.Release, time.Second},
		"failed again":                   {Outcome{Err: failed}, 3, false, ledger.Release, 4 * time.Second},
		"failed, with the longest pause": {Outcome{Err: failed}, 4, false, ledger.Release, 5 * time.Second},
		"failed too often":               {Outcome{Err: failed}, 5, false, ledger.Bury, 0},
		"lease over between two hooks":   {Outcome{Err: ErrLeaseOver, Interrupted: true}, 5, false, ledger.Release, 0},
		"cut short by the shutdown":      {Outcome{Err: failed}, 5, true, ledger.Release, 0},
	} {
		d := New(Config{Lease: time.Minute, Retry: Retry{Attempts: 5, Min: time.Second, Max: 5 * time.Second}})
		if c.shutdown {
			d.cancel(ErrShutdown)
		}
		c.outcome.Done = "the first one"
		s := d.settlementOf(&ledger.Claim{End: ledger.End{ID: "a", Attempt: c.attempt}, Token: "t"}, c.outcome)
		if s.Verdict != c.want || s.Delay < c.delay*4/5 || s.Delay > c.delay*6/5 {
			t.Errorf("%s: verdict %d after %v, want %d after about %v", name, s.Verdict, s.Delay, c.want, c.delay)
		}
		text := ""
		if c.outcome.Err != nil {
			text = c.outcome.Err.Error()
		}
		if s.ID != "a" || s.Token != "t" || s.Attempt != c.attempt || s.Done != "the first one" || s.Error != text {
			t.Errorf("%s: settlement %+v", name, s)
		}
		d.cancel(nil)
	}
}
