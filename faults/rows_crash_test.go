package faults

import (
	"context"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// stopAt starts an instance, begins a session there, and waits until the instance has
// stopped at a failpoint of its work for that session.
func (f *fleet) stopAt(point, path string) (*process, *visitor) {
	f.t.Helper()
	p := f.start("a")
	p.arm(point)
	v := f.begin(p, path)
	p.reached()
	return p, v
}

// startAnotherAndKill starts another instance, which it returns, and then kills p.
func (f *fleet) startAnotherAndKill(p *process) *process {
	f.t.Helper()
	other := f.start("b")
	p.kill()
	return other
}

// An instance is killed between claim and hook: another instance runs the hooks, once.
func TestRow01KilledBetweenClaimAndHook(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Lease = 4 * time.Second
	a, v := f.stopAt("after:claim", "/")
	b := f.startAnotherAndKill(a)
	f.awaitRuns(done, v.id, 1)
	f.finish()
	f.allRunsOn(b, 2, v.id)
}

// An instance is killed between hook and ack: another instance runs the hooks a second
// time, as attempt 2.
func TestRow02KilledBetweenHookAndAck(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Lease = 4 * time.Second
	a, v := f.stopAt("before:ack", "/")
	b := f.startAnotherAndKill(a)
	f.awaitRuns(done, v.id, 2)
	if v := f.finish(); v.repeats != 2 {
		t.Errorf("%d repeats, want one of each hook", v.repeats)
	}
	for _, e := range f.eventsOf(started) {
		if e.by == b && e.attempt != 2 {
			t.Errorf("attempt %d on b, want 2", e.attempt)
		}
	}
}

// An instance is killed before or after the script that begins a session: all of the
// session's keys are there, or none.
func TestRow03KilledAroundCreate(t *testing.T) {
	t.Parallel()
	for point, begun := range map[string]int{"before:create": 0, "after:create": 1} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			f.setup.Idle = 10 * time.Second
			a := f.start("a")
			a.arm(point)
			cut := make(chan int)
			go func() {
				status, _ := f.newVisitor().visit(a, "/")
				cut <- status
			}()
			a.reached()
			a.kill()
			if status := <-cut; status != 0 {
				t.Errorf("a killed instance responded with status %d", status)
			}
			for _, kind := range []string{liveKeys, "session:*", "due"} {
				if n := f.keys(kind); n != begun {
					t.Errorf("%d keys %s, want %d", n, kind, begun)
				}
			}
			f.start("b")
			f.eventually("the session that began has ended", func() bool { return f.runs(done, "") == begun && f.settled() })
			f.finish()
		})
	}
}

// A frozen instance goes on after another instance has taken its claim over. Its late ack
// is refused: when the new holder is killed, the end is still there to be taken over again.
func TestRow04Zombie(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Lease = 4 * time.Second
	zombie, v := f.stopAt("before:ack", "/?do=block&from=2&n=2") // its hooks have run
	b := f.start("b")
	zombie.freeze()
	f.awaitRuns(started, v.id, 2) // b has taken the claim over, and blocks
	zombie.thaw()
	zombie.release("after:ack")
	zombie.reached() // Redis has replied to its late ack
	zombie.release("")
	b.kill()
	f.awaitRuns(done, v.id, 2)
	f.finish()
	for _, e := range f.eventsOf(done) {
		if e.hook == "h2" && e.attempt != 1 && e.attempt != 3 {
			t.Errorf("attempt %d succeeded on %s; want 1 and 3", e.attempt, e.by.name)
		}
	}
}

// An instance cannot renew its lease, and its claim is taken over while the first hook
// runs. It does not start the second hook, though it has had no reply from Redis.
func TestRow04LeaseRunsOut(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Lease = 4 * time.Second
	stalled, v := f.stopAt("before:renew", "/?first=block")
	stalled.stopped(time.Now(), false) // for the checker: it cannot keep its claims
	f.start("b")
	f.awaitRuns(done, v.id, 1)
	f.eventually("b has acked the end", f.settled)
	stalled.openGate()
	f.eventually("the first hook has returned on the stalled instance, too", func() bool {
		n := 0
		for _, e := range f.eventsOf(done) {
			if e.hook == "h1" {
				n++
			}
		}
		return n == 2
	})
	stalled.release("")
	f.finish() // it shuts the stalled instance down: its hooks have returned
	if n := f.runs(started, v.id); n != 1 {
		t.Errorf("the second hook ran %d times, want once", n)
	}
}

// An instance freezes after Redis has given it a claim and before it reads the reply. The
// claim is taken over meanwhile. When the instance goes on, its lease is over from the
// start, and it starts no hook.
func TestRow04ClaimArrivesLate(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Lease = 4 * time.Second
	stalled, late := f.stopAt("after:claim", "/")
	stalled.freeze()
	b := f.start("b")
	f.awaitRuns(done, late.id, 1)
	f.eventually("b has acked the end", f.settled)
	stalled.thaw()
	stalled.release("before:look")
	f.crowd(2*f.setup.Buckets, stalled, b)
	stalled.reached() // by now it has dropped the late claim, or is about to run its hooks
	stalled.release("")
	f.finish() // it waits for hooks that have started
	f.allRunsOn(b, 2, late.id)
}

// The only instance cannot renew its lease while a hook runs. When it can renew it again,
// the end is still its own, and it has not claimed the end a second time.
func TestRow04LeaseRunsOutAlone(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Lease = 2 * time.Second
	p, v := f.stopAt("before:renew", "/?first=block")
	f.eventually("the lease is over", func() bool { return f.overdue(v.id) })
	f.awaitRuns(done, f.begin(p, "/").id, 1) // other ends are handled meanwhile
	p.release("")
	f.eventually("the lease is renewed", func() bool { return !f.overdue(v.id) })
	p.openGate()
	f.finish()
	runs := make(map[string]int)
	for _, e := range f.eventsOf(started) {
		if e.id == v.id {
			runs[e.hook]++
		}
	}
	if runs["h1"] != 1 || runs["h2"] != 1 {
		t.Errorf("runs: %v, want one of each hook", runs)
	}
}

// overdue reports whether the time of the session's due entry is over.
func (f *fleet) overdue(id string) bool {
	at, err := f.rdb.ZScore(context.Background(), f.dueIndex(token.Bucket(id, f.setup.Buckets)), id).Result()
	now := f.rdb.Time(context.Background()).Val()
	return err == nil && int64(at) < now.UnixMilli()
}
