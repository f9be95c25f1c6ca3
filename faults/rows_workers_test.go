package faults

import (
	"slices"
	"testing"
	"time"
)

// Two instances under load only serve. The only worker is killed in the middle of its work.
// Sessions go on, end and wait, and the log of each web instance says that nobody runs the
// hooks. Another worker comes: no end is lost, and no hook has run on a web instance.
func TestRow28OnlyWorkerKilled(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Lease = 4 * time.Second
	worker := f.start("worker1") // first, or the others say that there is none
	f.setup.ServesOnly = true
	webs := []*process{f.start("web1"), f.start("web2")}
	f.setup.ServesOnly = false
	f.knowEachOther(append(slices.Clone(webs), worker)...)
	stop := f.load(func() []*process { return webs })
	f.awaitEnds(100)

	worker.arm("before:ack") // so that it holds claims when it is killed
	worker.reached()
	worker.kill()
	f.awaitLogged(logNobodyDelivers, 1, webs...)
	handled := f.runs(done, "")
	for i, v := range f.crowd(50, webs...) {
		v.ok(webs[i%2], "/destroy")
	}
	f.awaitTime("sessions have timed out", time.Now().Add(f.setup.Idle))
	if n := f.runs(done, ""); n != handled {
		t.Errorf("%d ends were handled without a worker", n-handled)
	}

	next := f.start("worker2")
	f.awaitLogged(logSomebodyDelivers, 1, webs...)
	f.awaitMoreEnds(200)
	if failed := stop(); failed > 0 {
		t.Errorf("%d visits failed: the web instances were never away", failed)
	}
	if v := f.finish(); v.ends < 350 {
		t.Errorf("only %d ends", v.ends)
	}
	for _, e := range f.eventsOf(started) {
		if e.by != worker && e.by != next {
			t.Errorf("session %s: hook %s ran on %s", e.id, e.hook, e.by.name)
		}
	}
	for _, text := range []string{logNobodyDelivers, logSomebodyDelivers} {
		f.loggedExactly(text, 1, webs...)
	}
}
