package lifecycle

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/delivery"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// sweepBatch is how many sessions are asked for, or given up, in one round trip.
const sweepBatch = 256

// sweeper finds out which of the sessions that this instance holds closures of
// have ended elsewhere. A message names them; all are asked for after each new
// subscription, before which a message may have been missed, and now and then.
type sweeper struct {
	m        *Manager
	delivery *delivery.Delivery
	signal   chan struct{}

	mu    sync.Mutex
	named map[string]struct{}
	all   bool
}

func newSweeper(m *Manager, d *delivery.Delivery) *sweeper {
	return &sweeper{m: m, delivery: d, signal: make(chan struct{}, 1), named: make(map[string]struct{})}
}

// ask asks for one session.
func (s *sweeper) ask(id string) {
	if !s.m.closures.has(id) {
		return
	}
	s.mu.Lock()
	s.named[id] = struct{}{}
	s.mu.Unlock()
	s.poke()
}

// askAll asks for all sessions.
func (s *sweeper) askAll() {
	s.mu.Lock()
	s.all = true
	s.mu.Unlock()
	s.poke()
}

func (s *sweeper) poke() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

func (s *sweeper) run(ctx context.Context) {
	ticker := time.NewTicker(s.m.config.sweep)
	defer ticker.Stop()
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.askAll()
		case <-again:
		case <-s.signal:
		}
		again = nil
		if !s.sweep(ctx) {
			again = time.After(s.m.config.heartbeat)
		}
	}
}

// sweep asks for what is to be asked for; false means that it is to be repeated.
func (s *sweeper) sweep(ctx context.Context) bool {
	s.mu.Lock()
	if s.all {
		for _, id := range s.m.closures.ids() {
			s.named[id] = struct{}{}
		}
	}
	// With those named, whose hook is perhaps only being registered.
	ids := slices.Collect(maps.Keys(s.named))
	clear(s.named)
	s.all = false
	s.mu.Unlock()
	// Each server by itself: one that is away must not hold up the others.
	shards := make(map[string][]string)
	for _, id := range ids {
		shard := s.m.store.ledger.ShardOf(id)
		shards[shard] = append(shards[shard], id)
	}
	var wg sync.WaitGroup
	for _, ids := range shards {
		wg.Go(func() { s.sweepShard(ctx, ids) })
	}
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.named) == 0
}

// sweepShard asks for sessions of one server, and notes those of which it did not
// tell for the next time.
func (s *sweeper) sweepShard(ctx context.Context, ids []string) {
	for len(ids) > 0 {
		n := min(len(ids), sweepBatch)
		unknown := s.tell(s.m.store.ledger.Fates(ctx, ids[:n]), ids[:n])
		ids = ids[n:]
		if len(unknown) == 0 {
			continue
		}
		if len(unknown) == n { // the server is away: one timeout is enough
			unknown, ids = append(unknown, ids...), nil
		}
		s.mu.Lock()
		for _, id := range unknown {
			s.named[id] = struct{}{}
		}
		s.mu.Unlock()
	}
}

// tell hands on which sessions have ended, and returns those of which Redis did not
// tell.
func (s *sweeper) tell(fates []ledger.Fate, ids []string) (unknown []string) {
	var news []*ledger.Claim
	for i, f := range fates {
		switch {
		case f.Err != nil:
			unknown = append(unknown, ids[i])
		// Where the claim is this instance's, its delivery runs the closures, and
		// the global hooks after them.
		case f.Ended && !strings.HasPrefix(f.Claim, s.m.instance+":"):
			news = append(news, &ledger.Claim{End: f.End})
		}
	}
	s.delivery.Submit(news)
	return unknown
}
