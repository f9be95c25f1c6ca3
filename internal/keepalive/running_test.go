package keepalive

import (
	"sync"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A handler that returns soon costs nothing. One that runs for longer than a third of the
// session's time has the session prolonged, until it returns.
func TestRunning(t *testing.T) {
	t.Parallel()
	f := newFake()
	k := run(t, f)
	x := f.begin(first, 3*time.Millisecond)
	var short, long Running
	short.End()
	for range 2 {
		k.Begin(&short, x, time.Hour)
		short.End()
		short.End()
	}
	if n := k.Count(); n != 0 {
		t.Errorf("%d sessions are held", n)
	}
	k.Begin(&long, x, 3*time.Millisecond)
	for range 5 {
		redistest.Receive(t, f.touches)
	}
	long.End()
	if n := k.Count(); n != 0 {
		t.Errorf("after the handler has returned %d sessions are held", n)
	}
}

// A handler learns that its session has a shorter idle timeout, and no other one does.
func TestRunningWithAShorterTimeout(t *testing.T) {
	t.Parallel()
	f := newFake()
	k := run(t, f)
	x := f.begin(first, time.Hour)
	var one, two, other Running
	k.Begin(&one, x, time.Hour)
	k.Begin(&other, ledger.Touching{ID: "another", Proof: first, Timeouts: x.Timeouts}, time.Hour)
	k.Begin(&two, x, time.Hour)
	short := f.begin(second, 3*time.Millisecond)
	k.Shortened("a")
	for n := 0; n < 3; {
		if got := redistest.Receive(t, f.touches); got[0] == short {
			n++
		}
	}
	if n := k.Count(); n != 1 {
		t.Errorf("%d sessions are held, want 1", n)
	}
	one.End()
	redistest.Receive(t, f.touches)
	two.End()
	other.End()
	if n := k.Count(); n != 0 {
		t.Errorf("after all handlers have returned %d sessions are held", n)
	}
}

// However often somebody says that the timeout is shorter, Redis is asked about a session
// only so often.
func TestShortenedAgainAndAgain(t *testing.T) {
	t.Parallel()
	f := newFake()
	k := run(t, f)
	defer k.Hold(f.begin(first, time.Hour))()
	redistest.Receive(t, f.touches)
	began := time.Now()
	for range 100_000 {
		k.Shortened("a")
	}
	if most := int(time.Since(began)/hastened) + 2; len(f.touches) > most {
		t.Errorf("Redis was asked %d times, want %d at most", len(f.touches), most)
	}
}

// Handlers begin and return while sessions are shortened.
func TestRunningRaces(t *testing.T) {
	t.Parallel()
	f := newFake()
	k := run(t, f)
	x := f.begin(first, time.Millisecond)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			var r Running
			for range 200 {
				k.Begin(&r, x, time.Millisecond)
				k.Shortened("a")
				r.End()
			}
		})
	}
	wg.Wait()
	if n := k.Count(); n != 0 || k.running != nil {
		t.Errorf("%d sessions are held, and a handler runs: %v", n, k.running != nil)
	}
}
