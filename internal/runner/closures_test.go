package runner

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/closures"
	"github.com/gin-lifecycle/lifecycle/internal/delivery"
	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

func TestMain(m *testing.M) { os.Exit(redistest.Run(m)) }

// held is a runner on a real Redis, with what tests of closures need.
type held struct {
	*Runner[string]
	t       *testing.T
	ledger  *ledger.Ledger
	watched func() int // sessions of which Redis knows that the instance has closures
}

func newHeld(t *testing.T) held {
	t.Helper()
	rdb, prefix := redistest.Client(t, redistest.Shared(t)), redistest.Prefix()
	l := ledgertest.Open(t, ledger.New(rdb, ledger.Config{Prefix: prefix, Buckets: 4, Timeout: 10 * time.Second}))
	r := New(Config[string]{
		Ledger:         l,
		Instance:       "i",
		Picture:        func(e ledger.End) (s, reason string) { return e.ID + " " + e.Reason, e.Reason },
		Timeout:        time.Minute,
		Concurrency:    2,
		RedisTimeout:   time.Second,
		ShutdownReason: "shutdown",
		Log:            slog.New(slog.DiscardHandler),
	})
	return held{Runner: r, t: t, ledger: l, watched: func() int {
		keys, err := rdb.Keys(redistest.Within(t), prefix+":{*}:watch:*").Result()
		if err != nil {
			t.Fatal(err)
		}
		return len(keys)
	}}
}

// hold registers a closure of a live session.
func (h held) hold(k token.Token, hook Hook[string], o closures.Options) (remove func() bool) {
	h.t.Helper()
	remove, ended, err := h.Hold(k.ID, hook, o, func() ([]byte, error) {
		ok, err := h.ledger.Watch(redistest.Within(h.t), k.ID, k.Proof(), "i")
		if err == nil && !ok {
			err = fmt.Errorf("session %s is not live", k.ID)
		}
		return nil, err
	})
	if ended != nil || err != nil {
		h.t.Fatalf("ended %v, error %v", ended, err)
	}
	return remove
}

// At the shutdown the closures of a session run that have not been dropped, and Redis forgets
// all sessions.
func TestRunLeftDropsClosures(t *testing.T) {
	t.Parallel()
	h := newHeld(t)
	var mu sync.Mutex
	ran := map[string][]string{}
	hook := func(name string) Hook[string] {
		return func(_ context.Context, s string) error {
			mu.Lock()
			defer mu.Unlock()
			ran[s] = append(ran[s], name)
			return nil
		}
	}
	both, _ := ledgertest.Begin(t, h.ledger, token.Timeouts{Idle: time.Hour})
	onlySeat, _ := ledgertest.Begin(t, h.ledger, token.Timeouts{Idle: time.Hour})
	h.hold(both, hook("file"), closures.Options{})
	h.hold(both, hook("seat"), closures.Options{NotAtShutdown: true})
	h.hold(both, hook("lock"), closures.Options{})
	remove := h.hold(onlySeat, hook("seat"), closures.Options{NotAtShutdown: true})
	if h.watched() != 2 {
		t.Errorf("Redis knows %d sessions", h.watched())
	}
	h.RunLeft(t.Context())
	if got := ran[both.ID+" shutdown"]; len(ran) != 1 || !slices.Equal(got, []string{"lock", "file"}) {
		t.Errorf("ran %v", ran)
	}
	if h.watched() != 0 || h.Figures().Closures != 0 || remove() {
		t.Errorf("Redis knows %d sessions, %d closures are held", h.watched(), h.Figures().Closures)
	}
}

// An end, a shutdown and removes at the same time: each closure runs, or was taken back, and
// Redis forgets the session.
func TestEndsAndRemovesRace(t *testing.T) {
	t.Parallel()
	h := newHeld(t)
	for round := range 100 {
		k, _ := ledgertest.Begin(t, h.ledger, token.Timeouts{Idle: time.Hour})
		var ran, removed atomic.Int64
		var wg sync.WaitGroup
		start := make(chan struct{})
		const hooks = 3
		for range hooks {
			remove := h.hold(k, func(context.Context, string) error {
				ran.Add(1)
				return nil
			}, closures.Options{})
			wg.Go(func() {
				<-start
				if remove() {
					removed.Add(1)
				}
			})
		}
		wg.Go(func() {
			<-start
			news := &ledger.Claim{End: ledger.End{ID: k.ID, Reason: "over"}} // another instance has the claim
			h.Deliver(t.Context(), delivery.Lease{}, news)
		})
		close(start)
		wg.Wait()
		if ran.Load()+removed.Load() != hooks || h.watched() != 0 {
			t.Errorf("round %d: %d of %d closures ran, %d were taken back, Redis knows %d sessions", round, ran.Load(), hooks, removed.Load(), h.watched())
		}
	}
}
