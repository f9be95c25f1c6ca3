package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A hook fails or panics: it is tried again, with a pause, then the end goes to
// the dead set; others are handled meanwhile.
func TestRow19HookFails(t *testing.T) {
	t.Parallel()
	for _, do := range []string{"error", "panic"} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, redistest.Start(t))
			f.setup.Attempts, f.setup.Backoff = 4, 200*time.Millisecond
			ps := f.together("a", "b")
			mended := f.begin(ps[0], "/?do="+do+"&n=2").id
			dead := f.begin(ps[1], "/?do="+do+"&n=99").id
			f.known.bury(dead)
			f.crowd(50, ps...)
			f.eventually("the mended end and all others are handled", func() bool {
				return f.runs(done, mended) == 1 && f.runs(done, "") >= 51
			})
			f.eventually("the other one is in the dead set", func() bool { return f.keys("dead") == 1 && f.settled() })
			told := ps[0].deadEnds()
			if want := dead + " 4 "; len(told) != 1 || !strings.HasPrefix(told[0], want) || !strings.Contains(told[0], "attempt 4 was to ") {
				t.Errorf("dead set: %q; want %q and the text of attempt 4", told, want)
			}
			ps[1].ask("drop", "id", dead)
			f.finish()
			f.pausesGrow(dead, 4)
		})
	}
}

// pausesGrow checks that the last hook failed in each of n attempts for the
// session, and that the pauses between them doubled. They are drawn, and at least
// four fifths of that.
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
				f.t.Errorf("attempt %d after %d others", e.attempt, len(began))
			}
			began = append(began, e.at)
		case failed:
			ended = append(ended, e.at)
		}
	}
	if len(began) != n || len(ended) != n {
		f.t.Fatalf("%d attempts, %d failed; want %d", len(began), len(ended), n)
	}
	for i := 1; i < n; i++ {
		if pause, least := began[i].Sub(ended[i-1]), f.setup.Backoff<<(i-1)/2; pause < least {
			f.t.Errorf("attempt %d came %v after the one before, want %v at least", i+1, pause, least)
		}
	}
}

// Hooks hang and ignore their context: each keeps its worker's slot, and is
// counted; ends flow through the others.
func TestRow20HookHangs(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	f.setup.Concurrency, f.setup.HookTimeout = 4, 2*time.Second
	p := f.start("a")
	var hung []string
	for range 3 {
		hung = append(hung, f.begin(p, "/?do=hang&n=1").id)
	}
	f.eventually("three hooks are left behind", func() bool { return p.stats().HooksHung == 3 })
	f.crowd(50, p)
	f.eventually("the others are handled, and those in the next attempt", func() bool {
		for _, id := range hung {
			if f.runs(done, id) != 1 {
				return false
			}
		}
		return f.runs(done, "") >= 53
	})
	if n := p.stats().HooksHung; n != 3 {
		t.Errorf("%d hooks hang, want 3", n)
	}
	p.ask("gate")
	f.eventually("the hung hooks have returned", func() bool { return p.stats().HooksHung == 0 })
	f.finish()
}

// A hook uses the API: nothing locks up, and no end comes of it that was not
// asked for.
func TestRow21HookUsesTheAPI(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
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
	for _, e := range f.events() {
		if e.kind == failed {
			t.Errorf("%s failed for %s, attempt %d", e.hook, e.id, e.attempt)
		}
	}
}
