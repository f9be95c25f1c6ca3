package suite_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// While there was no worker a session has timed out whose cookie had come back. Its visitor is
// told so after the next worker has finished the end, too.
func TestPreviousAfterATimeWithoutWorkers(t *testing.T) {
	t.Parallel()
	d, p := shared(t), redistest.Prefix()
	opts := []lifecycle.Option{lifecycle.WithIdleTimeout(time.Second), lifecycle.WithUnconfirmedTimeout(300 * time.Millisecond)}
	web, _ := newWeb(t, d, p, opts...)
	web.start().why()
	id, v := web.begin()
	if got := web.ok(v, "/"); got != id {
		t.Fatalf("the session is %s, want %s", got, id)
	}
	redistest.Eventually(t, "the session has timed out", func() bool { return len(web.keys("live:*")) == 0 })
	want := id + " " + string(lifecycle.ReasonIdleTimeout) + " "
	if got := web.ask(v.cookie); !strings.HasPrefix(got, want) {
		t.Errorf("before a worker has come: told %q", got)
	}
	worker := newApp(t, d, p, opts...).start()
	for worker.nextDestroyed().ID != id {
	}
	redistest.Eventually(t, "the end is finished", func() bool { return len(web.keys("end:"+id)) == 0 })
	if got := web.ask(v.cookie); !strings.HasPrefix(got, want) {
		t.Errorf("after the end was finished: told %q", got)
	}
}
