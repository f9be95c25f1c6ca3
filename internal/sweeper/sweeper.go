package sweeper

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// batch is how many sessions are queried in one round trip.
const batch = 256

// Ledger is what a Sweeper needs of a *ledger.Ledger.
type Ledger interface {
	ServerOf(id string) string
	Fates(ctx context.Context, ids []string) []ledger.Fate
}

// Closures tells which sessions have closures in this process.
type Closures interface {
	// Has reports whether a session has some, or is about to.
	Has(id string) bool
	// IDs returns the sessions that have some.
	IDs() []string
}

// Config is what a Sweeper is made of.
type Config struct {
	Ledger   Ledger
	Instance string
	Closures Closures
	// Submit takes ends that other instances handle, as claims without a token.
	Submit   func([]*ledger.Claim)
	Interval time.Duration // pause between two queries for all sessions
	Retry    time.Duration // pause before sessions are queried again that Redis did not answer for
}

// Sweeper is safe for concurrent use. Make it with New.
type Sweeper struct {
	c      Config
	signal chan struct{}

	mu      sync.Mutex
	pending map[string]struct{} // sessions to query
	all     bool                // query all that have closures as well
}

// New returns a sweeper that does not run yet.
func New(c Config) *Sweeper {
	return &Sweeper{c: c, signal: make(chan struct{}, 1), pending: make(map[string]struct{})}
}

// Query asks for one session to be queried. A session without closures here is ignored.
func (s *Sweeper) Query(id string) {
	if !s.c.Closures.Has(id) {
		return
	}
	s.mu.Lock()
	s.pending[id] = struct{}{}
	s.mu.Unlock()
	s.wake()
}

// QueryAll asks for all sessions that have closures here to be queried.
func (s *Sweeper) QueryAll() {
	s.mu.Lock()
	s.all = true
	s.mu.Unlock()
	s.wake()
}

func (s *Sweeper) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// Run queries until ctx ends.
func (s *Sweeper) Run(ctx context.Context) {
	ticker := time.NewTicker(s.c.Interval)
	defer ticker.Stop()
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.QueryAll()
		case <-retry:
		case <-s.signal:
		}
		retry = nil
		if !s.sweep(ctx) {
			retry = time.After(s.c.Retry)
		}
	}
}

// sweep queries the pending sessions. false means: try again, Redis did not answer for
// some.
func (s *Sweeper) sweep(ctx context.Context) bool {
	byServer := make(map[string][]string)
	for _, id := range s.takePending() {
		server := s.c.Ledger.ServerOf(id)
		byServer[server] = append(byServer[server], id)
	}
	var wg sync.WaitGroup
	for _, ids := range byServer {
		wg.Go(func() { s.sweepServer(ctx, ids) })
	}
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending) == 0
}

// takePending takes out the sessions to query. With all sessions that have closures come
// those of Query: the hook of such a one may still be registering, and IDs leaves it out.
func (s *Sweeper) takePending() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all {
		for _, id := range s.c.Closures.IDs() {
			s.pending[id] = struct{}{}
		}
	}
	ids := slices.Collect(maps.Keys(s.pending))
	clear(s.pending)
	s.all = false
	return ids
}

// sweepServer queries sessions of one server. Those that the server did not answer for
// are pending again.
func (s *Sweeper) sweepServer(ctx context.Context, ids []string) {
	for len(ids) > 0 {
		n := min(len(ids), batch)
		unanswered := s.submitEnded(s.c.Ledger.Fates(ctx, ids[:n]), ids[:n])
		ids = ids[n:]
		if len(unanswered) == 0 {
			continue
		}
		if len(unanswered) == n { // the server is away: do not wait for another timeout
			unanswered, ids = append(unanswered, ids...), nil
		}
		s.mu.Lock()
		for _, id := range unanswered {
			s.pending[id] = struct{}{}
		}
		s.mu.Unlock()
	}
}

// submitEnded submits the sessions that have ended, and returns those that Redis did not
// answer for.
func (s *Sweeper) submitEnded(fates []ledger.Fate, ids []string) (unanswered []string) {
	var ended []*ledger.Claim
	for i, f := range fates {
		switch {
		case f.Err != nil:
			unanswered = append(unanswered, ids[i])
		// Where this instance has the claim, its delivery runs the closures before the
		// global hooks: there is nothing to submit.
		case f.Ended && !f.ClaimedBy(s.c.Instance):
			ended = append(ended, &ledger.Claim{End: f.End})
		}
	}
	s.c.Submit(ended)
	return unanswered
}
