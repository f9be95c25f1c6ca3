package suite_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// newWeb makes an instance that only serves. Its page /closure registers a closure, which
// sends "living" and the reason to the channel.
func newWeb(t testing.TB, d deployment, prefix string, opts ...lifecycle.Option) (web *app, closures <-chan string) {
	t.Helper()
	web = newApp(t, d, prefix, append([]lifecycle.Option{lifecycle.WithoutDelivery()}, opts...)...)
	return web, web.holding()
}

// seesDeliverers waits until the instance sees so many instances that run destroyed hooks.
func (a *app) seesDeliverers(n int) {
	a.t.Helper()
	redistest.Eventually(a.t, "the instance sees the others", func() bool { return a.m.Stats().Deliverers == n })
}

// A web instance only serves, and a worker has no pages. Destroyed hooks run on the worker
// only, whoever ends the session; created hooks and closures run on the web instance.
func TestWebAndWorker(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	web, closures := newWeb(t, d, p, lifecycle.WithIdleTimeout(time.Second))
	// The next regular look is too late: the worker must get the message of an end.
	worker := newApp(t, d, p, lifecycle.WithLookInterval(time.Minute)).start()
	web.start()
	worker.listens()
	web.seesDeliverers(1)

	for reason, end := range map[lifecycle.Reason]func(id string, v *visitor){
		lifecycle.ReasonDestroyed:   func(_ string, v *visitor) { web.ok(v, "/destroy") },
		"banned":                    func(id string, _ *visitor) { web.end(id, "banned") },
		"by the worker":             func(id string, _ *visitor) { worker.end(id, "by the worker") },
		lifecycle.ReasonIdleTimeout: func(string, *visitor) {},
	} {
		id, v := web.begin()
		web.ok(v, "/set?user=ann")
		web.ok(v, "/closure")
		web.nextCreated()
		end(id, v)
		if s := worker.nextDestroyed(); s.ID != id || s.Reason != reason || s.Get("user") != "ann" || s.Attempt != 1 {
			t.Errorf("on the worker: %s, %s, %v, attempt %d; want %s, %s", s.ID, s.Reason, s.Get("user"), s.Attempt, id, reason)
		}
		if got := redistest.Receive(t, closures); got != "living "+string(reason) {
			t.Errorf("closure on the web instance: %s, want %s", got, reason)
		}
	}
	redistest.Eventually(t, "no key is left", func() bool { return len(web.keys("*")) == 0 })
	web.quiet()
	worker.quiet()

	w, s := worker.m.Stats(), web.m.Stats()
	if w.Instances != 2 || w.Deliverers != 1 || !w.Delivering || s.Instances != 2 || s.Delivering || len(s.Ended) > 0 || s.Dead != 0 || s.Overdue != 0 {
		t.Errorf("figures of the worker %+v, of the web instance %+v", w, s)
	}
	if n := web.warned(logIdleHooks); n != 1 || worker.warned(logIdleHooks) > 0 {
		t.Errorf("%d lines say that the hooks of the web instance do not run, want one:\n%s", n, web.log)
	}
	if web.warned(logNobodyDelivers) > 0 {
		t.Errorf("the log says that nobody delivers:\n%s", web.log)
	}
	for _, a := range []*app{web, worker} {
		a.shutdown()
	}
	for _, list := range []string{p + ":instances", p + ":serving:{" + p + ":instances}"} {
		if n := web.admin.ZCard(redistest.Within(t), list).Val(); n != 0 {
			t.Errorf("%d instances are left on %s", n, list)
		}
	}
}

// There is no worker: the log says so once, and ends wait. The closures of a logout do not
// wait. A worker comes and handles all ends.
func TestNobodyDelivers(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	web, closures := newWeb(t, d, p)
	web.start()
	id, v := web.begin()
	web.ok(v, "/closure")
	web.ok(v, "/destroy")
	if got := redistest.Receive(t, closures); got != "living destroyed" {
		t.Errorf("closure: %s", got)
	}
	if w := web.visit(v, "/"); w.Code != http.StatusOK || w.Body.String() == id {
		t.Errorf("after the logout: %d %s", w.Code, w.Body)
	}
	redistest.Eventually(t, "the log says that nobody delivers", func() bool { return web.warned(logNobodyDelivers) == 1 })
	if s := web.m.Stats(); s.Instances != 1 || s.Deliverers != 0 {
		t.Errorf("without a worker: %+v", s)
	}
	if n := len(web.keys("end:" + id)); n != 1 {
		t.Errorf("%d ends wait, want one", n)
	}
	worker := newApp(t, d, p).start()
	if s := worker.nextDestroyed(); s.ID != id || s.Reason != lifecycle.ReasonDestroyed {
		t.Errorf("on the worker: %s, %s", s.ID, s.Reason)
	}
	redistest.Eventually(t, "the log says that somebody delivers", func() bool { return web.log.Contains(logSomebodyDelivers) })
	if n := web.warned(logNobodyDelivers); n != 1 {
		t.Errorf("%d lines say that nobody delivers", n)
	}
	web.quiet()
}

// One of two workers is killed: the other one handles its share. Then there is none, and ends
// wait for the next worker.
func TestWorkersAreKilled(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	web, _ := newWeb(t, d, p, lifecycle.WithIdleTimeout(300*time.Millisecond))
	web.start()
	first, second := startChild(t, d, p, "idle"), startChild(t, d, p, "idle")
	first.wait("started")
	second.wait("started")
	web.seesDeliverers(2)
	first.kill()
	ids := make(map[string]bool)
	for range 16 { // enough to have some in the share of each worker
		id, _ := web.begin()
		ids[id] = true
	}
	for range ids {
		if got := second.wait("second"); !ids[got[0]] {
			t.Errorf("the other worker has run the hooks of %s", got[0])
		}
	}
	web.seesDeliverers(1)
	second.kill()
	web.seesDeliverers(0)
	waiting := make(map[string]bool)
	for range 16 {
		id, _ := web.begin()
		waiting[id] = true
	}
	redistest.Eventually(t, "the sessions have timed out", func() bool { return len(web.keys("live:*")) == 0 })
	worker := newApp(t, d, p, lifecycle.WithLease(300*time.Millisecond)).start()
	for len(waiting) > 0 {
		s := worker.nextDestroyed()
		if !waiting[s.ID] && !ids[s.ID] { // the second worker may have been killed before an ack
			t.Errorf("unknown session %s", s.ID)
		}
		delete(waiting, s.ID)
	}
	web.quiet()
}
