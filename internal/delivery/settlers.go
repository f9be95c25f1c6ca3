package delivery

import (
	"context"
	"sync"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// settlers are the settlers of one instance, one for each server: one that is away
// holds up no other.
type settlers struct {
	c       Config
	counts  *counts
	settled func([]ledger.ClaimRef)

	mu      sync.Mutex
	shards  map[string]*settler // by name
	drained bool
}

func newSettlers(c Config, n *counts, settled func([]ledger.ClaimRef)) *settlers {
	return &settlers{c: c, counts: n, settled: settled, shards: make(map[string]*settler)}
}

func (s *settlers) add(x ledger.Settlement) {
	name := s.c.Ledger.ShardOf(x.ID)
	s.mu.Lock()
	one := s.shards[name]
	if one == nil && !s.drained {
		one = newSettler(s.c, s.counts, s.settled)
		s.shards[name] = one
		one.start()
	}
	s.mu.Unlock()
	if one == nil {
		settleLate(s.c, x)
		return
	}
	one.add(x)
}

// drain carries out what waits, tries what fails once more, and ends. Once ctx
// has ended, it ends with the first batch of which nothing succeeds. Claims that
// could not be given back are taken over when their lease is over.
func (s *settlers) drain(ctx context.Context) {
	s.mu.Lock()
	s.drained = true
	s.mu.Unlock() // shards changes no more
	var wg sync.WaitGroup
	for _, one := range s.shards {
		wg.Go(func() { one.drain(ctx) })
	}
	wg.Wait()
}

// settleLate carries out a settlement of a request that ended a session while the
// instance shut down.
func settleLate(c Config, x ledger.Settlement) {
	c.Ledger.Settle(context.Background(), c.Instance, []ledger.Settlement{x}, c.Tombstone)
}
