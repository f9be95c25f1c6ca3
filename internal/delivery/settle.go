package delivery

import (
	"context"
	"slices"
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
// repeats those that fail, apart from the others: Redis may take an ack, which
// frees memory, while it refuses what needs some.
type settler struct {
	c       Config
	counts  *counts
	settled func([]ledger.ClaimRef)
	wg      sync.WaitGroup
	some    chan struct{} // receives after something was added
	closing chan struct{}
	over    context.Context // of drain; set before closing is closed

	mu      sync.Mutex
	waiting []ledger.Settlement
	closed  bool

	// Of run alone.
	failed  []ledger.Settlement
	backoff time.Duration
	again   <-chan time.Time // when those that failed are to be repeated
}

func newSettler(c Config, n *counts, settled func([]ledger.ClaimRef)) *settler {
	return &settler{c: c, counts: n, settled: settled, some: make(chan struct{}, 1), closing: make(chan struct{})}
}

func (s *settler) start() { s.wg.Go(s.run) }

func (s *settler) add(x ledger.Settlement) {
	s.mu.Lock()
	late := s.closed
	if !late {
		s.waiting = append(s.waiting, x)
	}
	s.mu.Unlock()
	if late {
		settleLate(s.c, x)
		return
	}
	select {
	case s.some <- struct{}{}:
	default:
	}
}

// drain carries out what waits and ends; see settlers.
func (s *settler) drain(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.over = ctx
	close(s.closing)
	s.wg.Wait()
}

func (s *settler) run() {
	for {
		if batch := s.take(); len(batch) > 0 {
			if !s.carryOut(batch) && s.hopeless() {
				return
			}
			continue
		}
		select {
		case <-s.some:
		case <-s.again:
			s.repeat()
		case <-s.closing:
			if batch := s.take(); len(batch) > 0 { // added just before
				s.carryOut(batch)
			} else {
				s.repeat()
				return
			}
		}
	}
}

// take takes a batch of what waits.
func (s *settler) take() []ledger.Settlement {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.waiting), settleBatch)
	batch := s.waiting[:n:n]
	s.waiting = s.waiting[n:]
	return batch
}

// repeat repeats what has failed.
func (s *settler) repeat() {
	failed := s.failed
	s.failed, s.again = nil, nil
	for batch := range slices.Chunk(failed, settleBatch) {
		if !s.carryOut(batch) && s.hopeless() {
			return
		}
	}
	if len(failed) > 0 && len(s.failed) == 0 {
		s.c.Log.Info("lifecycle: finishing ends works again")
		s.backoff = 0
	}
}

// hopeless reports whether to give up, after a batch of which nothing succeeded.
func (s *settler) hopeless() bool {
	select {
	case <-s.closing:
		return s.over.Err() != nil
	default:
		return false
	}
}

// carryOut carries out a batch, and puts aside what is to be repeated. It reports
// whether anything succeeded.
func (s *settler) carryOut(batch []ledger.Settlement) bool {
	results := s.settleBatch(batch)
	done := make([]ledger.ClaimRef, 0, len(batch))
	var err error
	for i, r := range results {
		x := batch[i]
		if r.Err != nil {
			err = r.Err
			s.failed = append(s.failed, x)
			continue
		}
		s.tell(x, r.OK)
		done = append(done, x.ClaimRef)
	}
	if len(done) > 0 {
		s.settled(done)
	}
	if err != nil && s.again == nil {
		if s.backoff == 0 {
			s.c.Log.Warn("lifecycle: finishing ends fails, will be retried", "error", err)
		}
		s.backoff = min(max(2*s.backoff, minBackoff), maxBackoff)
		s.again = time.After(s.backoff)
	}
	return len(done) > 0
}

// settleBatch settles a batch. An end that cannot be buried, as its bucket's dead set
// was overwritten by something else, is put off for as long as any is: what is given
// up must not be tried again with every lease. The batch then says what was done.
func (s *settler) settleBatch(batch []ledger.Settlement) []ledger.Settled {
	results := s.c.Ledger.Settle(context.Background(), s.c.Instance, batch, s.c.Tombstone)
	var at []int
	var instead []ledger.Settlement
	for i, r := range results {
		if batch[i].Verdict == ledger.Bury && r.Overwritten != nil {
			batch[i].Verdict, batch[i].Delay = ledger.Release, s.c.Retry.Max
			at, instead = append(at, i), append(instead, batch[i])
		}
	}
	if len(instead) == 0 {
		return results
	}
	for j, r := range s.c.Ledger.Settle(context.Background(), s.c.Instance, instead, s.c.Tombstone) {
		results[at[j]] = r
	}
	return results
}

// tell counts and logs what became of a settlement.
func (s *settler) tell(x ledger.Settlement, ok bool) {
	switch {
	case !ok:
		s.c.Log.Debug("lifecycle: a stale claim was not settled", "session", x.ID)
	case x.Verdict == ledger.Bury:
		s.counts.buried.Add(1)
		s.c.Log.Error("lifecycle: destroyed hooks failed for good, the end is in the dead set",
			"session", x.ID, "attempt", x.Attempt, "error", x.Error)
	case x.Verdict == ledger.Release && x.Delay > 0:
		s.counts.retried.Add(1)
	}
}
