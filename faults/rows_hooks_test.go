package faults

import (
	"strings"
	"testing"
	"time"
)

// A hook fails or panics. It is tried again after a pause. After the last attempt the end
// goes to the dead set. Other ends are handled meanwhile.
func TestRow19HookFails(t *testing.T) {
	t.Parallel()
	for _, do := range []string{"error", "panic"} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			f.setup.Attempts, f.setup.Backoff = 4, 200*time.Millisecond
			ps := f.together("a", "b")
			recovers := f.begin(ps[0], "/?do="+do+"&n=2").id
			dead := f.begin(ps[1], "/?do="+do+"&n=99").id
			f.known.bury(dead)
			f.crowd(50, ps...)
			f.awaitRuns(done, recovers, 1)
			f.awaitEnds(51)
			f.eventually("the other end is in the dead set", func() bool { return f.keys("dead") == 1 && f.settled() })
			ends := ps[0].deadEnds()
			if want := dead + " 4 "; len(ends) != 1 || !strings.HasPrefix(ends[0], want) || !strings.Contains(ends[0], "attempt 4 was to ") {
				t.Errorf("dead set: %q; want %q and the error text of attempt 4", ends, want)
			}
			ps[1].ask("drop", "id", dead)
			f.finish()
			f.pausesGrow(dead, 4)
		})
	}
}

// pausesGrow checks that the last hook failed in each of n attempts at the session's end,
// and that the pauses between the attempts doubled. The library draws each pause from a
// fifth around that; a pause must be at least half of it here.
func (f *fleet) pausesGrow(id string, n int) {
	f.t.Helper()
	var began, ended []time.Time
	for _, e := range f.events() {
		if e.id != id || e.hook != hooks[len(hooks)-1] {
			continue
		}
		switch e.kind {
		case started:
			if e.attempt != len(began)+1 {
				f.t.Errorf("attempt %d comes after %d others", e.attempt, len(began))
			}
			began = append(began, e.at)
		case failed:
			ended = append(ended, e.at)
		}
	}
	if len(began) != n || len(ended) != n {
		f.t.Fatalf("%d attempts, of which %d failed; want %d", len(began), len(ended), n)
	}
	for i := 1; i < n; i++ {
		if pause, least := began[i].Sub(ended[i-1]), f.setup.Backoff<<(i-1)/2; pause < least {
			f.t.Errorf("attempt %d started %v after the one before, want at least %v", i+1, pause, least)
		}
	}
}

// Hooks hang and ignore their context. Each keeps one of the instance's workers busy and is
// counted. The other workers handle the other ends.
func TestRow20HookHangs(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Concurrency, f.setup.HookTimeout = 4, 2*time.Second
	p := f.start("a")
	var hung []string
	for range 3 {
		hung = append(hung, f.begin(p, "/?do=hang&n=1").id)
	}
	hanging := func(n int) func() bool { return func() bool { return p.stats().HooksHung == n } }
	f.eventually("three hooks hang", hanging(3))
	f.crowd(50, p)
	for _, id := range hung {
		f.awaitRuns(done, id, 1) // in the second attempt
	}
	f.awaitEnds(53)
	if n := p.stats().HooksHung; n != 3 {
		t.Errorf("%d hooks hang, want 3", n)
	}
	p.openGate()
	f.eventually("the hooks that hung have returned", hanging(0))
	f.finish()
}

// A hook calls the library: nothing deadlocks, and only those sessions end that the hook
// asked to end.
func TestRow21HookUsesTheAPI(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Concurrency = 2
	f.setup.Idle = 5 * time.Second
	ps := f.together("a", "b")
	for i := range 20 {
		f.begin(ps[i%2], "/?do=api&n=1")
	}
	v := f.finish()
	if v.sessions != 40 || v.ends != 40 || v.runs != 80 {
		t.Errorf("%d sessions, %d ends, %d runs; want 40, 40 and 80", v.sessions, v.ends, v.runs)
	}
	for _, e := range f.eventsOf(failed) {
		t.Errorf("%s failed for %s, attempt %d", e.hook, e.id, e.attempt)
	}
}
