package listener

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
	"github.com/gin-lifecycle/lifecycle/internal/topology"
)

// heard is what a listener has reported.
type heard struct {
	mu   sync.Mutex
	keys map[string]string // session -> hint
	told map[string]bool
}

func (h *heard) message(m ledger.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch m.Kind {
	case ledger.LiveKeyEvent:
		h.keys[m.ID] = m.Hint
	case ledger.Ended:
		h.told[m.ID] = true
	}
}

func (h *heard) hint(id string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.keys[id]
}

func (h *heard) toldOf(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told[id]
}

// The leader hears of the live keys on every master, also on one that has taken a
// killed one's place, and messages whoever publishes them.
func TestEveryMasterIsHeard(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 1)
	rdb := c.Client(t)
	prefix := "t" + strings.ToLower(rand.Text()[:10])
	l := ledger.New(rdb, ledger.Config{Prefix: prefix, Buckets: 32, Timeout: 2 * time.Second})
	if err := l.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := &heard{keys: make(map[string]string), told: make(map[string]bool)}
	x := New(Config{
		Ledger: l, Instance: "i", Notifications: true, Log: slog.New(slog.DiscardHandler),
		On: Events{Message: h.message, Subscribed: func() {}},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { x.Run(ctx) })
	wg.Go(func() {
		topology.New(topology.Config{
			Ledger:  l,
			Log:     slog.New(slog.DiscardHandler),
			Changed: func(_ context.Context, shards []ledger.Shard) { x.SetServers(shards) },
		}).Run(ctx)
	})
	defer wg.Wait()
	defer cancel()
	x.SetBuckets(ctx, []int{0, 1, 2}, true)

	// deleted deletes a live key on each server, and returns how many there were.
	deleted := func() int {
		ids := make(map[string]string) // by server
		for range 100 {
			k := token.New(token.Mark{}, token.Timeouts{Idle: time.Hour})
			if _, err := l.Create(ctx, k, k.Timeouts().Idle, record.Pack(record.Record{Proof: k.Proof(), Timeouts: k.Timeouts()})); err != nil {
				continue
			}
			ids[l.ShardOf(k.ID)] = k.ID
			if err := rdb.Del(ctx, fmt.Sprintf("%s:{%d}:live:%s:%s", prefix, l.Bucket(k.ID), k.ID, token.ProofText(k.Proof()))).Err(); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range ids {
			redistest.Eventually(t, "the deletion is heard", func() bool { return h.hint(id) == ledger.Deleted })
			if err := l.Tell(ctx, "j", &ledger.Claim{End: ledger.End{ID: id}, Watchers: []string{"i"}}); err != nil {
				t.Fatal(err)
			}
			redistest.Eventually(t, "the message is heard", func() bool { return h.toldOf(id) })
		}
		return len(ids)
	}
	redistest.Eventually(t, "it listens", func() bool { return x.State() == On })
	if n := deleted(); n != 3 {
		t.Errorf("sessions on %d servers", n)
	}

	killed := c.Nodes[0]
	killed.Kill()
	redistest.Eventually(t, "another server has its buckets", func() bool {
		shards, err := l.Shards(ctx)
		for _, s := range shards {
			if s.Name == killed.Addr {
				l.ReloadShards(ctx)
				return false
			}
		}
		return err == nil && len(shards) == 3
	})
	redistest.Eventually(t, "all servers are listened to", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		_, still := x.events[killed.Addr]
		return len(x.events) == 3 && !still
	})
	redistest.Eventually(t, "it listens again", func() bool { return x.State() == On })
	if n := deleted(); n != 3 {
		t.Errorf("sessions on %d servers", n)
	}
	for _, s := range x.servers {
		if flags := s.Client.ConfigGet(ctx, setting).Val()[setting]; missing(flags) != "" {
			t.Errorf("%s: notifications are set to %q", s.Name, flags)
		}
	}
}
