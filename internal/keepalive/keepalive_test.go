package keepalive

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a ledger with one session for each proof in live.
type fake struct {
	mu      sync.Mutex
	live    map[string]bool   // by ID and proof
	records map[string][]byte // by ID
	away    bool
	hangs   map[string]chan struct{} // by ID: its server answers when the channel is closed
	touches chan []ledger.Touching
	after   func() // called once after a record was read; see onRecord
}

func newFake() *fake {
	return &fake{live: make(map[string]bool), records: make(map[string][]byte), touches: make(chan []ledger.Touching, 10_000)}
}

// begin makes the session a live, or gives it another secret or other timeouts.
func (f *fake) begin(proof string, idle time.Duration) ledger.Touching {
	const id = "a"
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.live)
	f.live[id+proof] = true
	timeouts := token.Timeouts{Idle: idle}
	f.records[id] = record.Pack(record.Record{Proof: proof, Created: 1, Timeouts: timeouts})
	return ledger.Touching{ID: id, Proof: proof, Timeouts: timeouts}
}

func (f *fake) set(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

func (f *fake) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.live)
	clear(f.records)
}

var errAway = errors.New("away")

// ServerOf says that sessions whose IDs begin with the same letter have the same server.
func (f *fake) ServerOf(id string) string { return "server of " + id[:1] }

func (f *fake) Touch(_ context.Context, all []ledger.Touching) []ledger.Touched {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.touches <- all
	if wait := f.hangs[all[0].ID]; wait != nil {
		f.mu.Unlock()
		<-wait
		f.mu.Lock()
	}
	results := make([]ledger.Touched, len(all))
	for i, x := range all {
		if f.away {
			results[i].Err = errAway
		} else {
			results[i].Live = f.live[x.ID+x.Proof]
		}
	}
	return results
}

// onRecord has do called when a record has been read the next time.
func (f *fake) onRecord(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = do
}

func (f *fake) Record(_ context.Context, id string) ([]byte, error) {
	f.mu.Lock()
	if f.away {
		f.mu.Unlock()
		return nil, errAway
	}
	packed, after := f.records[id], f.after
	f.after = nil
	f.mu.Unlock()
	if after != nil {
		after()
	}
	return packed, nil
}

// run runs a keeper until the test ends.
func run(t *testing.T, f *fake) *Keeper {
	t.Helper()
	k := New(f)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { k.Run(ctx) })
	t.Cleanup(func() { cancel(); done.Wait() })
	return k
}

const (
	first  = "0123456789abcdef"
	second = "fedcba9876543210"
)

// A session is prolonged at once and again and again until its last holder has released it.
func TestHold(t *testing.T) {
	t.Parallel()
	f := newFake()
	k := run(t, f)
	x := f.begin(first, 3*time.Millisecond)
	one, two := k.Hold(x), k.Hold(x)
	for range 5 {
		if got := redistest.Receive(t, f.touches); len(got) != 1 || got[0] != x {
			t.Fatalf("prolonged %+v, want %+v once", got, x)
		}
	}
	one()
	one() // does nothing more
	for range 5 {
		redistest.Receive(t, f.touches)
	}
	if n := k.Count(); n != 1 {
		t.Errorf("%d sessions are held, want 1", n)
	}
	two()
	if n := k.Count(); n != 0 {
		t.Errorf("after the release %d sessions are held", n)
	}
	// One call may have been under way.
	for len(f.touches) > 0 {
		<-f.touches
	}
	three := k.Hold(x)
	defer three()
	redistest.Receive(t, f.touches)
}

// Count returns how many sessions are held.
func (k *Keeper) Count() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.held {
		if s.holders > 0 {
			n++
		}
	}
	return n
}

// known returns how many sessions the keeper remembers.
func (k *Keeper) known() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.held)
}

// Holders that follow one another cost no more than one that stays. A released session is
// forgotten in the end.
func TestHoldOneAfterTheOther(t *testing.T) {
	t.Parallel()
	f := newFake()
	k := run(t, f)
	x := f.begin(first, time.Hour)
	release := k.Hold(x)
	redistest.Receive(t, f.touches)
	release()
	other := f.begin(second, time.Hour)
	for range 5 {
		k.Hold(other)()
	}
	y := ledger.Touching{ID: "z", Proof: first, Timeouts: token.Timeouts{Idle: 3 * time.Millisecond}}
	f.mu.Lock()
	f.live[y.ID+y.Proof] = true
	f.mu.Unlock()
	release = k.Hold(y)
	for range 3 {
		if got := redistest.Receive(t, f.touches); len(got) != 1 || got[0] != y {
			t.Errorf("prolonged %+v, want %+v", got, y)
		}
	}
	release()
	redistest.Eventually(t, "the session is forgotten", func() bool { return k.known() == 1 })
	defer k.Hold(f.begin(first, 3*time.Millisecond))() // its time is shorter: at once
	redistest.Eventually(t, "the session is prolonged", func() bool {
		for len(f.touches) > 0 {
			if got := <-f.touches; got[0].Timeouts.Idle == 3*time.Millisecond && got[0].ID == x.ID {
				return true
			}
		}
		return false
	})
}

// A rotation or other timeouts give the live key another name. The keeper finds it.
func TestHoldAfterARotation(t *testing.T) {
	t.Parallel()
	f := newFake()
	k := run(t, f)
	defer k.Hold(f.begin(first, 3*time.Millisecond))()
	redistest.Receive(t, f.touches)
	next := f.begin(second, 6*time.Millisecond)
	for {
		if got := redistest.Receive(t, f.touches); got[0] == next {
			break
		}
	}
	redistest.Receive(t, f.touches)
	if n := k.Count(); n != 1 {
		t.Errorf("%d sessions are held, want 1", n)
	}
}

// The session is rotated twice: before a touch, and again between the reading of its record and
// the touch after that. It is live all the time, and is not dropped.
func TestHoldDuringRotations(t *testing.T) {
	t.Parallel()
	f := newFake()
	k := run(t, f)
	defer k.Hold(f.begin(first, 3*time.Millisecond))()
	redistest.Receive(t, f.touches)
	const proof = "0011223344556677"
	var last ledger.Touching
	f.set(true) // nothing is asked between the first rotation and onRecord
	f.onRecord(func() { last = f.begin(proof, 3*time.Millisecond) })
	f.begin(second, 3*time.Millisecond)
	f.set(false)
	for {
		if got := redistest.Receive(t, f.touches); got[0].Proof == proof {
			if got[0] != last {
				t.Errorf("prolonged %+v, want %+v", got[0], last)
			}
			return
		}
	}
}

// A session that has ended is dropped, and its holders may release it all the same.
func TestHoldOfAnEndedSession(t *testing.T) {
	t.Parallel()
	f := newFake()
	k := run(t, f)
	release := k.Hold(f.begin(first, 3*time.Millisecond))
	redistest.Receive(t, f.touches)
	f.end()
	redistest.Eventually(t, "the session is dropped", func() bool { return k.Count() == 0 })
	again := k.Hold(f.begin(first, 3*time.Millisecond))
	defer again()
	release() // of the earlier session: it must not release this one
	if n := k.Count(); n != 1 {
		t.Errorf("%d sessions are held, want 1", n)
	}
}

// While Redis is away, the keeper tries again.
func TestHoldWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	f := newFake()
	k := run(t, f)
	f.set(true)
	x := f.begin(first, 9*time.Millisecond)
	defer k.Hold(x)()
	for range 3 {
		redistest.Receive(t, f.touches)
	}
	next := f.begin(second, 9*time.Millisecond)
	f.set(false)
	for {
		if got := redistest.Receive(t, f.touches); got[0] == next {
			break
		}
	}
}

// A server of a cluster does not answer. Its sessions wait, and those of the others do not. When
// it answers, those that are still held are prolonged.
func TestHoldWhileAServerHangs(t *testing.T) {
	t.Parallel()
	f := newFake()
	answers := make(chan struct{})
	f.hangs = map[string]chan struct{}{"hung": answers}
	k := run(t, f)
	x := f.begin(first, 3*time.Millisecond)
	hung := ledger.Touching{ID: "hung", Proof: first, Timeouts: x.Timeouts}
	defer k.Hold(hung)()
	redistest.Receive(t, f.touches)
	healthy, released := hung, hung
	healthy.ID, released.ID = "h2", "h3"
	f.mu.Lock()
	for _, s := range []ledger.Touching{hung, healthy} {
		f.live[s.ID+s.Proof] = true
	}
	f.mu.Unlock()
	defer k.Hold(healthy)()
	release := k.Hold(released)
	defer k.Hold(x)()
	for range 5 {
		if got := redistest.Receive(t, f.touches); len(got) != 1 || got[0] != x {
			t.Fatalf("prolonged %+v, want %+v", got, x)
		}
	}
	release()
	close(answers)
	seen := make(map[string]bool)
	for !seen["hung"] || !seen["h2"] {
		for _, s := range redistest.Receive(t, f.touches) {
			seen[s.ID] = true
		}
	}
	if seen["h3"] {
		t.Error("a session that was released is prolonged")
	}
}

// Sessions that are due together share a round trip.
func TestHoldManySessions(t *testing.T) {
	t.Parallel()
	f := newFake()
	const n = 1000
	var releases []func()
	k := New(f)
	for i := range n {
		x := ledger.Touching{ID: fmt.Sprintf("s%d", i), Proof: first, Timeouts: token.Timeouts{Idle: time.Hour}}
		f.live[x.ID+x.Proof] = true
		releases = append(releases, k.Hold(x))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { k.Run(ctx) })
	trips := 0
	for seen := 0; seen < n; trips++ {
		seen += len(redistest.Receive(t, f.touches))
	}
	if trips > n/batch+1 {
		t.Errorf("%d sessions took %d round trips", n, trips)
	}
	var wg sync.WaitGroup
	for _, release := range releases {
		wg.Go(release)
	}
	wg.Wait()
	if left := k.Count(); left != 0 {
		t.Errorf("%d sessions are left", left)
	}
	cancel()
	done.Wait()
}

// A session that is held gets a much shorter idle timeout: by a save of this process, during
// a touch too, and by a holder that knows of it. It is prolonged long before a third of the old
// one is over.
func TestHoldWithAShorterTimeout(t *testing.T) {
	t.Parallel()
	for name, tell := range map[string]func(k *Keeper, short ledger.Touching){
		"a save":   func(k *Keeper, _ ledger.Touching) { k.Shortened("a") },
		"a holder": func(k *Keeper, short ledger.Touching) { k.Hold(short) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			k := run(t, f)
			defer k.Hold(f.begin(first, time.Hour))()
			redistest.Receive(t, f.touches)
			short := f.begin(second, 30*time.Millisecond)
			tell(k, short)
			for n := 0; n < 3; {
				if x := redistest.Receive(t, f.touches); x[0].Proof == short.Proof {
					n++
				}
			}
			k.Shortened("nobody holds it")
		})
	}
}
