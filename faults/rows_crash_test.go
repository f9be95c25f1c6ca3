package faults

import (
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// An instance is killed between claim and hook: another one runs the hooks, once.
func TestRow01KilledBetweenClaimAndHook(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	f.setup.Lease = 4 * time.Second
	a := f.start("a")
	a.arm("after:claim")
	id := f.begin(a, "/").id
	a.reached()
	b := f.start("b")
	a.kill()
	f.eventually("b runs the hooks", func() bool { return f.runs(done, id) == 1 })
	f.finish()
	for _, e := range f.events() {
		if e.kind == started && (e.by != b || e.attempt != 2) {
			t.Errorf("%s on %s, attempt %d; want b, attempt 2", e.hook, e.by.name, e.attempt)
		}
	}
}

// An instance is killed between hook and ack: the hooks run twice, and the second
// time says so.
func TestRow02KilledBetweenHookAndAck(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	f.setup.Lease = 4 * time.Second
	a := f.start("a")
	a.arm("before:ack")
	id := f.begin(a, "/").id
	a.reached()
	b := f.start("b")
	a.kill()
	f.eventually("b runs the hooks", func() bool { return f.runs(done, id) == 2 })
	v := f.finish()
	if v.repeats != 2 {
		t.Errorf("%d repeats, want one of each hook", v.repeats)
	}
	for _, e := range f.events() {
		if e.kind == started && e.by == b && e.attempt != 2 {
			t.Errorf("attempt %d on b, want 2", e.attempt)
		}
	}
}

// An instance is killed before or after the script that begins a session: the
// session is there wholly or not at all.
func TestRow03KilledAroundCreate(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"before:create", "after:create"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, redistest.Start(t))
			f.setup.Idle = 10 * time.Second
			a := f.start("a")
			a.arm(point)
			cut := make(chan int)
			go func() {
				status, _ := (&visitor{f: f}).visit(a, "/")
				cut <- status
			}()
			a.reached()
			a.kill()
			if status := <-cut; status != 0 {
				t.Errorf("a killed instance answered %d", status)
			}
			var n []int
			for _, kind := range []string{"live:*", "session:*", "due"} {
				keys, err := f.rdb.Keys(t.Context(), f.setup.Prefix+":{*}:"+kind).Result()
				if err != nil {
					t.Fatal(err)
				}
				n = append(n, len(keys))
			}
			want := 0
			if point == "after:create" {
				want = 1
			}
			for i, kind := range []string{"live keys", "records", "due entries"} {
				if n[i] != want {
					t.Errorf("%d %s, want %d", n[i], kind, want)
				}
			}
			f.start("b")
			f.eventually("what began ends", func() bool { return f.runs(done, "") == want && f.settled() })
			f.finish()
		})
	}
}

// A frozen instance wakes after its claim was taken over: its late ack is refused
// and harms nothing, as the death of the new holder shows.
func TestRow04Zombie(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	f.setup.Lease = 4 * time.Second
	zombie := f.start("zombie")
	zombie.arm("before:ack")
	v := f.begin(zombie, "/?do=block&from=2&n=2")
	zombie.reached() // its hooks have run
	b := f.start("b")
	zombie.freeze()
	f.eventually("b takes over", func() bool { return f.runs(started, v.id) == 2 })
	zombie.thaw()
	zombie.release("after:ack")
	zombie.reached() // its late ack was answered
	zombie.release("")
	b.kill()
	f.eventually("the end is taken over again", func() bool { return f.runs(done, v.id) == 2 })
	f.finish()
	for _, e := range f.events() {
		if e.kind == done && e.hook == "h2" && e.attempt != 1 && e.attempt != 3 {
			t.Errorf("attempt %d succeeded on %s; want 1 and 3", e.attempt, e.by.name)
		}
	}
}

// An instance cannot renew its lease, and its claim is taken over while it runs
// the first hook: it does not start the second one, though nobody has told it.
func TestRow04LeaseRunsOut(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	f.setup.Lease = 4 * time.Second
	stalled := f.start("stalled")
	stalled.arm("before:renew")
	v := f.begin(stalled, "/?first=block")
	stalled.reached()
	stalled.stopped(time.Now(), false) // so far as its claims are concerned
	f.start("b")
	f.eventually("b takes over", func() bool { return f.runs(done, v.id) == 1 })
	f.eventually("and acks", f.settled)
	stalled.ask("gate")
	first := func() (n int) {
		for _, e := range f.events() {
			if e.kind == done && e.hook == "h1" {
				n++
			}
		}
		return n
	}
	f.eventually("the first hook returns on the stalled instance", func() bool { return first() == 2 })
	stalled.release("")
	f.finish() // and with it the stalled instance, in order
	if n := f.runs(started, v.id); n != 1 {
		t.Errorf("the second hook ran %d times, want once", n)
	}
}

// An instance is stopped after Redis gave it a claim and before it reads that, and
// the claim is taken over: when it goes on, its lease is over from the first, and it
// starts no hook.
func TestRow04ClaimArrivesLate(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	f.setup.Lease = 4 * time.Second
	stalled := f.start("stalled")
	stalled.arm("after:claim")
	late := f.begin(stalled, "/").id
	stalled.reached()
	stalled.freeze()
	b := f.start("b")
	f.eventually("b takes over", func() bool { return f.runs(done, late) == 1 })
	f.eventually("and acks", f.settled)
	stalled.thaw()
	stalled.release("before:look")
	f.crowd(2*f.setup.Buckets, stalled, b)
	stalled.reached() // the late claim waits for its hooks, or was dropped
	stalled.release("")
	f.finish() // and with it hooks that have started
	for _, e := range f.events() {
		if e.id == late && e.kind == started && (e.by != b || e.attempt != 2) {
			t.Errorf("%s started on %s at %s, attempt %d; want b only, attempt 2", e.hook, e.by.name, clock(e.at), e.attempt)
		}
	}
}
