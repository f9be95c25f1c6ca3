package suite_test

import (
	"testing"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// A worker without destroyed hooks finishes ends, and nothing runs for them: its log says so once.
// A worker with hooks, and instances without hooks among others of their kind, say nothing.
func TestHooklessWorker(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	web, _ := newWeb(t, d, p)
	hookless := newAppWithoutHooks(t, d, p).start()
	redistest.Eventually(t, "the instance sees itself", func() bool { return hookless.m.Stats().Deliverers == 1 })
	if n := hookless.warned(logHooklessWorker); n != 0 {
		t.Errorf("alone: %d lines", n)
	}
	web.start()
	worker := newApp(t, d, p).start()
	worker.seesDeliverers(2)
	redistest.Eventually(t, "the log says that the worker has no hooks", func() bool { return hookless.warned(logHooklessWorker) == 1 })
	id, v := web.begin()
	web.ok(v, "/destroy")
	redistest.Eventually(t, "the end is finished", func() bool { return len(web.keys("end:"+id)) == 0 })
	beats := watch(hookless.rdb)
	redistest.Eventually(t, "some heartbeats more", func() bool { return beats.naming(p+":instances") > 4 })
	if n := hookless.warned(logHooklessWorker); n != 1 {
		t.Errorf("%d lines, want one:\n%s", n, hookless.log)
	}
	for _, a := range []*app{web, worker} {
		if a.warned(logHooklessWorker) > 0 {
			t.Errorf("an instance that has hooks, or only serves, says that it has none:\n%s", a.log)
		}
	}
}
