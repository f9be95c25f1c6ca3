package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

const (
	// settleBatch bounds the settlements of one round trip.
	settleBatch = 512

	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// settler carries out settlements in batches that grow with the load, and
// repeats those that fail.
type settler struct {
	c       Config
	settled func([]ledger.Held)
	wg      sync.WaitGroup

	mu      sync.Mutex
	some    *sync.Cond
	waiting []ledger.Settlement
	closing chan struct{}
	closed  bool
}

func newSettler(c Config, settled func([]ledger.Held)) *settler {
	s := &settler{c: c, settled: settled, closing: make(chan struct{})}
	s.some = sync.NewCond(&s.mu)
	return s
}

func (s *settler) start() { s.wg.Go(s.run) }

func (s *settler) add(x ledger.Settlement) {
	s.mu.Lock()
	late := s.closed
	if !late {
		s.waiting = append(s.waiting, x)
	}
	s.mu.Unlock()
	if late { // by a request that ended a session while the instance shut down
		s.c.Ledger.Settle(context.Background(), s.c.Instance, []ledger.Settlement{x}, s.c.Tombstone)
		return
	}
	s.some.Signal()
}

// drain carries out what waits, tries what fails once more, and ends. Claims
// that could not be given back are taken over when their lease is over.
func (s *settler) drain() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	close(s.closing)
	s.some.Signal()
	s.wg.Wait()
}

func (s *settler) run() {
	var backoff time.Duration
	var failures int // since closing
	for {
		batch, closed := s.next()
		if len(batch) == 0 {
			return
		}
		failed, err := s.carryOut(batch)
		if err == nil {
			if backoff > 0 {
				s.c.Log.Info("lifecycle: finishing ends works again")
			}
			backoff = 0
			continue
		}
		if backoff == 0 {
			s.c.Log.Warn("lifecycle: finishing ends fails, will be retried", "error", err)
		}
		backoff = min(max(2*backoff, minBackoff), maxBackoff)
		if closed {
			if failures++; failures == 2 {
				return
			}
		}
		s.mu.Lock()
		s.waiting = append(failed, s.waiting...)
		s.mu.Unlock()
		select {
		case <-s.closing:
		case <-time.After(backoff):
		}
	}
}

// next waits for settlements; none when closed and empty.
func (s *settler) next() (batch []ledger.Settlement, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) == 0 && !s.closed {
		s.some.Wait()
	}
	n := min(len(s.waiting), settleBatch)
	batch = s.waiting[:n:n]
	s.waiting = s.waiting[n:]
	return batch, s.closed
}

// carryOut returns the settlements to be repeated, and why.
func (s *settler) carryOut(batch []ledger.Settlement) (failed []ledger.Settlement, err error) {
	results := s.c.Ledger.Settle(context.Background(), s.c.Instance, batch, s.c.Tombstone)
	done := make([]ledger.Held, 0, len(batch))
	for i, r := range results {
		if r.Err != nil {
			failed, err = append(failed, batch[i]), r.Err
			continue
		}
		if !r.OK {
			s.c.Log.Debug("lifecycle: a stale claim was not settled", "session", batch[i].ID)
		}
		done = append(done, batch[i].Held)
	}
	if len(done) > 0 {
		s.settled(done)
	}
	return failed, err
}
