package delivery

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/backoff"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// settleBatch is how many settlements are sent in one round trip, at most.
const settleBatch = 512

// settler sends the settlements of one server to Redis, in batches that grow with the load.
// It keeps those that fail apart from the others and sends them again after a pause: a
// Redis that is out of memory still takes an ack, which frees memory, while it refuses what
// needs some.
type settler struct {
	c         Config
	counts    *counts
	onSettled func([]ledger.ClaimRef) // gets the claims whose settlements Redis has answered
	wg        sync.WaitGroup
	added     chan struct{}   // gets a value after something was added
	closing   chan struct{}   // closed by drain
	deadline  context.Context // the context of drain; set before closing is closed

	mu      sync.Mutex
	waiting []ledger.Settlement
	closed  bool

	// Only the goroutine of run uses these.
	failed   []ledger.Settlement
	retry    backoff.Backoff
	retryNow <-chan time.Time // gets a value when failed is to be sent again; nil while nothing has failed
}

func newSettler(c Config, n *counts, onSettled func([]ledger.ClaimRef)) *settler {
	return &settler{
		c: c, counts: n, onSettled: onSettled,
		added: make(chan struct{}, 1), closing: make(chan struct{}),
		retry: backoff.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second},
	}
}

func (s *settler) start() { s.wg.Go(s.run) }

// add adds a settlement. It does not wait, unless drain was called before: it then sends
// the settlement itself.
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
	case s.added <- struct{}{}:
	default:
	}
}

// drain sends what waits and ends the settler; see settlers.drain.
func (s *settler) drain(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.deadline = ctx
	close(s.closing)
	s.wg.Wait()
}

func (s *settler) run() {
	for {
		if batch := s.nextBatch(); len(batch) > 0 {
			if !s.send(batch) && s.outOfTime() {
				return
			}
			continue
		}
		select {
		case <-s.added:
		case <-s.retryNow:
			s.sendFailed()
		case <-s.closing:
			if batch := s.nextBatch(); len(batch) > 0 { // added just before
				s.send(batch)
			} else {
				s.sendFailed()
				return
			}
		}
	}
}

// nextBatch takes a batch out of what waits.
func (s *settler) nextBatch() []ledger.Settlement {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.waiting), settleBatch)
	batch := s.waiting[:n:n]
	s.waiting = s.waiting[n:]
	return batch
}

// sendFailed sends again what has failed.
func (s *settler) sendFailed() {
	failed := s.failed
	s.failed, s.retryNow = nil, nil
	for batch := range slices.Chunk(failed, settleBatch) {
		if !s.send(batch) && s.outOfTime() {
			return
		}
	}
	if len(failed) > 0 && len(s.failed) == 0 {
		s.c.Log.Info("lifecycle: this instance can write the outcome of destroyed hooks to Redis again")
		s.retry.Reset()
	}
}

// outOfTime reports whether the settler is being drained and the time for that is over.
func (s *settler) outOfTime() bool {
	select {
	case <-s.closing:
		return s.deadline.Err() != nil
	default:
		return false
	}
}

// send sends a batch, and keeps those that fail for another try. It reports whether any
// has succeeded.
func (s *settler) send(batch []ledger.Settlement) bool {
	results := s.sendOrPutOff(batch)
	answered := make([]ledger.ClaimRef, 0, len(batch))
	var err error
	for i, r := range results {
		x := batch[i]
		if r.Err != nil {
			err = r.Err
			s.failed = append(s.failed, x)
			continue
		}
		s.report(x, r.OK)
		answered = append(answered, x.ClaimRef)
	}
	if len(answered) > 0 {
		s.onSettled(answered)
	}
	if err != nil && s.retryNow == nil {
		if !s.retry.Failing() {
			s.c.Log.Warn("lifecycle: cannot write the outcome of destroyed hooks to Redis; this instance tries again until it can, "+
				"but the hooks may run a second time if that takes longer than the lease (WithLease)", "error", err)
		}
		s.retryNow = time.After(s.retry.Next())
	}
	return len(answered) > 0
}

// sendOrPutOff sends a batch and returns the answers. Where an end cannot be buried, as
// something else was written over its bucket's dead set, sendOrPutOff releases its claim
// with the longest pause instead: an end whose hooks have failed too often must not be
// tried again each time that a lease is over. It then changes batch to what was done.
func (s *settler) sendOrPutOff(batch []ledger.Settlement) []ledger.Settled {
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

// report counts and logs a settlement that Redis has answered. ok is false if Redis has
// refused it.
func (s *settler) report(x ledger.Settlement, ok bool) {
	switch {
	case !ok:
		s.c.Log.Debug("lifecycle: Redis ignored the outcome of a session's destroyed hooks, because another instance has claimed the end or finished it",
			"session", x.ID)
	case x.Verdict == ledger.Bury:
		s.counts.buried.Add(1)
		s.c.Log.Error("lifecycle: the destroyed hooks of an ended session have failed at every attempt, so the end is in the dead set now; fix the cause, then call RetryDead",
			"session", x.ID, "attempt", x.Attempt, "error", x.Error)
	case x.Verdict == ledger.Release && x.Delay > 0:
		s.counts.retried.Add(1)
	}
}
