package faults

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
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

// soak is three instances under a constant load of visitors, the faults that hit
// them, and forgers. What is drawn is drawn from the seed: the same one gives the same
// faults in the same order, and the same visitors. When exactly each hits is the
// machine's doing.
type soak struct {
	*fleet
	slots []*slot
	ctx   context.Context // ends with the load and the faults

	mu     sync.Mutex
	past   []string    // faults, for the reader of a failure
	faults map[int]int // by row
	hooks  map[int]int // faults of hooks, which come with the visitors, by row
	skewed int         // clocks that were wrong, which come with the kills

	visits, failed atomic.Int64
	inFlight       atomic.Int64

	public    []string       // the latest sessions of visitors, as everybody may know them
	forgeries map[string]int // requests of forgers, by what they try
	answered  map[string]int // of these, with anything but that Redis is away
	seen      liveKeys
}

// slot is a place for an instance, with a network of its own.
type slot struct {
	*soak
	name  string
	proxy *proxy

	busy sync.Mutex // held by the fault that acts on the slot
	mu   sync.Mutex
	now  *process // nil while there is none
}

// TestSoak runs for a while what the rows do one at a time, beside clients that forge
// what they send, and judges the whole.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	for seed == 0 {
		seed = rand.Uint64N(1_000_000)
	}
	// At once, and not with the test's log: that is not shown if it hangs or panics.
	fmt.Fprintf(os.Stderr, "soak of %v, seed %d, %d sessions a second; again with: make soak DURATION=%v SEED=%d RATE=%d\n",
		*soakDuration, seed, *soakRate, *soakDuration, seed, *soakRate)

	f := newFleet(t, redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always"))
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
	ctx, cancel := context.WithTimeout(t.Context(), *soakDuration)
	defer cancel()
	s := &soak{
		fleet: f, ctx: ctx, faults: make(map[int]int), hooks: make(map[int]int),
		forgeries: make(map[string]int), answered: make(map[string]int),
	}
	for _, name := range []string{"a", "b", "c"} {
		sl := &slot{soak: s, name: name, proxy: newProxy(t, f.redis.Addr)}
		s.slots = append(s.slots, sl)
		sl.start(0)
	}

	var lanes sync.WaitGroup
	lane := func(n uint64, run func(*rand.Rand)) {
		lanes.Go(func() { run(rand.New(rand.NewPCG(seed, n))) }) //nolint:gosec // to be drawn again
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
	lanes.Go(s.tell)
	lanes.Wait()

	for _, sl := range s.slots {
		sl.proxy.heal()
		if sl.process() == nil {
			sl.start(0)
		}
	}
	if err := poll(patience, func() bool { return s.seen.sample(s.fleet) }); err != nil {
		t.Errorf("the live keys are read at the end: %v", err)
	}
	if err := poll(4*patience, s.settled); err != nil {
		t.Errorf("the load has ended, and sessions or ends are left: %v", err)
	}
	v := s.stopAndCheck()
	s.figures(v)
	s.happened(v)
	if t.Failed() {
		t.Logf("the faults:\n%s", strings.Join(s.past, "\n"))
	}
}

func (s *soak) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

func (s *soak) count(row int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[row]++
}

func (s *soak) record(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past = append(s.past, text)
}

// between draws a duration.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}

// tell says now and then how far it is.
func (s *soak) tell() {
	for s.wait(10 * time.Second) {
		s.mu.Lock()
		n := total(s.faults)
		s.mu.Unlock()
		s.t.Logf("%d visits, %d of them failed; %d faults", s.visits.Load(), s.failed.Load(), n)
	}
}

// visitors begins sessions at a constant rate.
func (s *soak) visitors(r *rand.Rand) {
	var lives sync.WaitGroup
	defer lives.Wait()
	const step = 10 * time.Millisecond
	pace := time.NewTicker(step)
	defer pace.Stop()
	begun, from := 0, time.Now()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-pace.C:
		}
		due := int(time.Since(from).Seconds() * float64(*soakRate))
		for ; begun < due; begun++ {
			l := drawLife(r)
			if s.inFlight.Load() >= 2000 {
				continue // Redis or an instance is away, and visitors queue up
			}
			if l.row != 0 {
				s.hooks[l.row]++
			}
			s.inFlight.Add(1)
			lives.Go(func() {
				defer s.inFlight.Add(-1)
				s.live(l)
			})
		}
	}
}

// life is what one visitor does.
type life struct {
	row   int // of the fault of its session's hooks; 0 for none
	slot  int
	first string
	steps []lifeStep
}

type lifeStep struct {
	after time.Duration
	slot  int
	path  string
}

// drawLife draws a visitor.
func drawLife(r *rand.Rand) life {
	l := life{slot: r.IntN(3), first: "/"}
	n := strconv.Itoa(1 + r.IntN(3))
	switch k := r.IntN(1000); {
	case k < 30:
		l.row, l.first = 19, "/?do=error&n="+n
	case k < 50:
		l.row, l.first = 19, "/?do=panic&n="+n
	case k < 52:
		l.row, l.first = 20, "/?do=hang&n=1&ms=1500"
	case k < 54:
		l.row, l.first = 21, "/?do=api&n=1"
	case k < 100:
		l.first = "/?do=slow&n=9"
	}
	if r.IntN(10) < 6 {
		return l // and never comes back
	}
	for i := range 1 + r.IntN(3) {
		step := lifeStep{after: between(r, 20*time.Millisecond, 700*time.Millisecond), slot: r.IntN(3)}
		step.path = []string{"/", "/save?step=" + strconv.Itoa(i), "/hold?n=" + strconv.Itoa(i), "/rotate"}[r.IntN(4)]
		l.steps = append(l.steps, step)
	}
	if r.IntN(3) == 0 {
		l.steps = append(l.steps, lifeStep{after: 10 * time.Millisecond, slot: r.IntN(3), path: "/destroy"})
	}
	return l
}

func (s *soak) live(l life) {
	v := &visitor{f: s.fleet}
	s.step(v, l.slot, l.first)
	for _, step := range l.steps {
		if !s.wait(step.after) {
			return
		}
		s.step(v, step.slot, step.path)
	}
}

// step visits an instance, another one if it does not answer.
func (s *soak) step(v *visitor, at int, path string) {
	for i := range s.slots {
		p := s.slots[(at+i)%len(s.slots)].process()
		if p == nil {
			continue
		}
		s.visits.Add(1)
		status, _ := v.visit(p, path)
		if status == http.StatusOK {
			s.publish(v.id)
			return
		}
		s.failed.Add(1)
		if status != 0 {
			return // it was told why
		}
	}
}

func (sl *slot) process() *process {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	return sl.now
}

func (sl *slot) set(p *process) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	sl.now = p
}

// start puts an instance into the slot.
func (sl *slot) start(skew time.Duration) {
	setup := sl.setup
	setup.Redis, setup.Skew = sl.proxy.addr, skew
	p, err := sl.launch(sl.name, setup)
	if err != nil {
		sl.t.Errorf("slot %s: %v", sl.name, err)
		return
	}
	sl.set(p)
}

// kill kills the slot's instance and starts another, whose clock may be wrong.
func (sl *slot) replace(skew time.Duration) {
	p := sl.process()
	sl.set(nil)
	if p != nil {
		p.kill()
	}
	if skew != 0 {
		sl.soak.mu.Lock()
		sl.skewed++
		sl.soak.mu.Unlock()
	}
	sl.start(skew)
}

func (sl *slot) String() string { return fmt.Sprintf("slot %s", sl.name) }
