package suite_test

import (
	"net/http"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// Instances that only serve keep sessions alive as others do, a message of a shorter timeout
// included, and a fleet without a worker too. A worker finds them live.
func TestAliveOnInstancesThatOnlyServe(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	a, _ := newWeb(t, d, p)
	b, _ := newWeb(t, d, p)
	for _, x := range []*app{a, b} {
		x.start()
		x.get("/shorter", func(c *lifecycle.Context) { x.answer(c, c.SetTimeouts(shortIdle, 0)) })
	}
	redistest.Eventually(t, "both instances have subscribed", func() bool {
		return a.m.Stats().Instances == 2 && b.m.Stats().Instances == 2 && len(a.on.channels(t, p+":instances")) > 0
	})
	m := a.meet(func(*lifecycle.Context) {}, func(c *lifecycle.Context) error { return save(c, "k", "v") })
	id, v := a.begin()
	a.ok(v, "/")
	status, body := m.during(v, func() {
		b.ok(v, "/shorter")
		passes(t)
		worker := newApp(t, d, p).start()
		passes(t)
		worker.quiet()
	})
	if status != http.StatusOK || body != id {
		t.Errorf("%d %s", status, body)
	}
}
