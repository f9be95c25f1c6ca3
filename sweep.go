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
	all := s.all
	if all {
		for _, id := range s.m.closures.ids() {
			s.named[id] = struct{}{}
		}
	}
	// With those named, whose hook is perhaps only being registered.
	ids := slices.Collect(maps.Keys(s.named))
	clear(s.named)
	s.all = false
	s.mu.Unlock()
	for len(ids) > 0 {
		n := min(len(ids), sweepBatch)
		fates, err := s.m.store.ledger.Fates(ctx, ids[:n])
		if err != nil {
			s.mu.Lock()
			s.all = s.all || all
			for _, id := range ids {
				s.named[id] = struct{}{}
			}
			s.mu.Unlock()
			return false
		}
		ids = ids[n:]
		var news []*ledger.Claim
		for _, f := range fates {
			// Where the claim is this instance's, its delivery runs the closures, and
			// the global hooks after them.
			if f.Ended && !strings.HasPrefix(f.Claim, s.m.instance+":") {
				news = append(news, &ledger.Claim{End: f.End})
			}
		}
		s.delivery.Submit(news)
	}
	return true
}
