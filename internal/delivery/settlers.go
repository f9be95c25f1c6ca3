package delivery

import (
	"context"
	"sync"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// settlers are the settlers of one instance. There is one for each server, so that a server
// that does not answer holds up no other.
type settlers struct {
	c         Config
	counts    *counts
	onSettled func([]ledger.ClaimRef)

	mu       sync.Mutex
	byServer map[string]*settler
	drained  bool
}

func newSettlers(c Config, n *counts, onSettled func([]ledger.ClaimRef)) *settlers {
	return &settlers{c: c, counts: n, onSettled: onSettled, byServer: make(map[string]*settler)}
}

// add adds a settlement to those of its session's server.
func (s *settlers) add(x ledger.Settlement) {
	name := s.c.Ledger.ServerOf(x.ID)
	s.mu.Lock()
	one := s.byServer[name]
	if one == nil && !s.drained {
		one = newSettler(s.c, s.counts, s.onSettled)
		s.byServer[name] = one
		one.start()
	}
	s.mu.Unlock()
	if one == nil {
		settleLate(s.c, x)
		return
	}
	one.add(x)
}

// drain sends what waits, sends what fails once more, and ends all settlers. Once ctx has
// ended, a settler gives up with the first batch of which nothing succeeds. Claims that
// could not be settled are taken over by other instances when their leases are over.
func (s *settlers) drain(ctx context.Context) {
	s.mu.Lock()
	s.drained = true
	s.mu.Unlock() // byServer does not change any more
	var wg sync.WaitGroup
	for _, one := range s.byServer {
		wg.Go(func() { one.drain(ctx) })
	}
	wg.Wait()
}

// settleLate sends a settlement that comes when the settlers have ended: a request has
// ended a session while the instance shut down.
func settleLate(c Config, x ledger.Settlement) {
	c.Ledger.Settle(context.Background(), c.Instance, []ledger.Settlement{x}, c.Tombstone)
}
