package faults

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

var (
	soakDuration = flag.Duration("duration", time.Minute, "how long TestSoak breaks things")
	soakSeed     = flag.Uint64("seed", 0, "what the faults and visitors of TestSoak are drawn from; 0 draws it")
	soakRate     = flag.Int("rate", 100, "sessions that TestSoak begins a second")
)

// soak is three instances under a constant load of visitors, the faults that hit the
// instances and Redis, and the clients that send forged cookies.
//
// All random choices come from the seed: the same seed gives the same faults in the same
// order, and the same visitors. When exactly each fault hits depends on the machine.
type soak struct {
	*fleet
	slots []*slot
	ctx   context.Context // ends when the load and the faults are to end

	mu     sync.Mutex
	past   []string    // a line for each fault, for whoever reads a failure
	faults map[int]int // faults that happened, by row
	hooks  map[int]int // sessions whose hooks are to fail, by row; they come with the visitors
	skewed int         // instances whose clock is wrong; they come with the kills

	visits, failed atomic.Int64
	inFlight       atomic.Int64

	public    []string       // IDs of the visitors' latest sessions; the forgers know them
	forgeries map[string]int // requests of forgers, by trick
	answered  map[string]int // forged requests that got a response other than "Redis is away", by trick
	seen      samples
}

// TestSoak does for a while, at random and at the same time, what the rows do one by one.
// Other clients send forged cookies meanwhile. The checker judges the whole.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	for seed == 0 {
		seed = rand.Uint64N(1_000_000)
	}
	// Written at once: if the test hangs or panics, its own log is not shown.
	fmt.Fprintf(os.Stderr, "soak of %v, seed %d, %d sessions a second; again with: make soak DURATION=%v SEED=%d RATE=%d\n",
		*soakDuration, seed, *soakRate, *soakDuration, seed, *soakRate)

	ctx, cancel := context.WithTimeout(t.Context(), *soakDuration)
	defer cancel()
	s := newSoak(ctx, t)
	s.run(seed)

	for _, sl := range s.slots {
		sl.proxy.heal()
		if sl.process() == nil {
			sl.start(0)
		}
	}
	if err := redistest.Poll(patience, func() bool { return s.seen.take(s.fleet) }); err != nil {
		t.Errorf("reading the live keys at the end: %v", err)
	}
	if err := redistest.Poll(4*patience, s.settled); err != nil {
		t.Errorf("the load has ended, but sessions or ends are left: %v", err)
	}
	v := s.stopAndCheck()
	s.figures(v)
	s.happened(v)
	if t.Failed() {
		t.Logf("the faults:\n%s", strings.Join(s.past, "\n"))
	}
}

// newSoak starts Redis and three instances, each behind a proxy of its own.
func newSoak(ctx context.Context, t *testing.T) *soak {
	t.Helper()
	f := newFleet(t, "--appendonly", "yes", "--appendfsync", "always")
	f.setup.Buckets = 64
	f.setup.Idle = 2 * time.Second
	f.setup.Lease = 10 * time.Second
	f.setup.Look = time.Second
	f.setup.RedisTimeout = time.Second
	f.setup.HookTimeout = time.Second
	f.setup.Heartbeat = 250 * time.Millisecond
	f.setup.Concurrency = 64
	f.setup.Attempts = 1000
	f.setup.Backoff = 50 * time.Millisecond
	f.setup.Ask = 8
	f.client.Timeout = 5 * time.Second
	s := &soak{
		fleet: f, ctx: ctx, faults: make(map[int]int), hooks: make(map[int]int),
		forgeries: make(map[string]int), answered: make(map[string]int),
	}
	for _, name := range []string{"a", "b", "c"} {
		sl := &slot{soak: s, name: name, proxy: newProxy(t, f.redis.Addr)}
		s.slots = append(s.slots, sl)
		sl.start(0)
	}
	return s
}

// run lets visitors, faults and forgers work until the soak's context ends. Each of these
// lanes draws from its own source of chance.
func (s *soak) run(seed uint64) {
	var lanes sync.WaitGroup
	lane := func(n uint64, run func(*rand.Rand)) {
		lanes.Go(func() { run(rand.New(rand.NewPCG(seed, n))) }) //nolint:gosec // the same seed must give the same draws
	}
	lane(1, s.visitors)
	lane(2, s.outages)
	lane(3, s.annoyances)
	lane(4, s.crashes)
	lane(5, s.zombies)
	for i := range forgers {
		lane(6+uint64(i), func(r *rand.Rand) { s.forger(i, r) })
	}
	lanes.Go(s.watch)
	lanes.Go(s.reportProgress)
	lanes.Wait()
}

// wait waits for d. It returns false at once when the soak's context ends.
func (s *soak) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	return waitFor(s.ctx, timer.C) == nil
}

// reportProgress logs figures now and then.
func (s *soak) reportProgress() {
	for s.wait(10 * time.Second) {
		s.mu.Lock()
		n := total(s.faults)
		s.mu.Unlock()
		s.t.Logf("%d visits, %d of them failed; %d faults", s.visits.Load(), s.failed.Load(), n)
	}
}

// watch reads all live keys now and then.
func (s *soak) watch() {
	for s.wait(500 * time.Millisecond) {
		s.seen.take(s.fleet)
	}
}
