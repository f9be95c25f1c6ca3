package faults

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// While handlers of sessions run, Redis is stopped for a moment and the network fails, for less
// than the idle timeout: the sessions live on. Then an instance is killed, and a visitor of
// another one goes away: their sessions end at the idle timeout, and the others do not.
func TestRow29HandlersRun(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Idle, f.setup.RedisTimeout = 9*time.Second, shortRedisTimeout
	net := f.throughProxy()
	ps := f.together("a", "b")
	waiting := make([]*waiter, 8)
	for i := range waiting {
		waiting[i] = f.wait(ps[i%2])
	}
	defer func() {
		for _, w := range waiting {
			w.leave()
		}
	}()
	live := func(want int, when string) {
		t.Helper()
		if n := f.keys(liveKeys); n != want {
			t.Errorf("%s: %d sessions are live, want %d", when, n, want)
		}
	}
	began := time.Now()
	f.redis.Pause()
	f.awaitTime("each session was to be prolonged once, and that has failed", time.Now().Add(f.setup.Idle/3+200*time.Millisecond))
	f.redis.Resume()
	net.poison(reset)
	f.awaitTime("connections are reset", time.Now().Add(500*time.Millisecond))
	net.heal()
	f.awaitTime("two idle timeouts have passed", began.Add(2*f.setup.Idle))
	live(8, "while the handlers run")

	ps[0].kill()
	waiting[1].leave()
	f.eventually("the sessions end whose handlers do not run any more", func() bool { return f.keys(liveKeys) == 3 })
	f.awaitTime("one more idle timeout has passed", time.Now().Add(f.setup.Idle))
	live(3, "after an instance was killed")
	for _, w := range waiting {
		w.leave()
	}
	f.finish()
	f.allReasons(lifecycle.ReasonIdleTimeout)
}

// waiter is a visitor for whom a handler runs.
type waiter struct{ leave context.CancelFunc }

// wait begins a session and has a handler run for it, until the visitor leaves.
func (f *fleet) wait(p *process) *waiter {
	f.t.Helper()
	v := f.begin(p, "/")
	v.ok(p, "/")
	ctx, leave := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+"/wait", http.NoBody)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Cookie", v.cookie)
	visitors := &http.Client{Transport: f.client.Transport} // without a timeout
	status := make(chan int, 1)
	go func() {
		response, err := visitors.Do(r)
		if err != nil {
			status <- 0
			return
		}
		defer func() { _ = response.Body.Close() }()
		status <- response.StatusCode
		_, _ = io.Copy(io.Discard, response.Body)
	}()
	if got := redistest.Receive(f.t, status); got != http.StatusOK {
		f.t.Fatalf("the handler does not run: %d", got)
	}
	return &waiter{leave}
}
