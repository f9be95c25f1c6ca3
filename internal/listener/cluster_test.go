package listener

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
	"github.com/gin-lifecycle/lifecycle/internal/topology"
)

// received keeps what a listener has received.
type received struct {
	mu    sync.Mutex
	hints map[string]string // by session, from notifications
	ended map[string]bool   // sessions, from messages of instances
}

func (r *received) message(m ledger.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch m.Kind {
	case ledger.LiveKeyEvent:
		r.hints[m.ID] = m.Hint
	case ledger.Ended:
		r.ended[m.ID] = true
	}
}

func (r *received) hint(id string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hints[id]
}

func (r *received) end(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended[id]
}

// kit is a listener that leads, on a cluster, with a topology that tells it the servers.
type kit struct {
	*Listener
	received
	t      *testing.T
	log    redistest.Log
	rdb    *redis.ClusterClient
	ledger *ledger.Ledger
	prefix string
}

// startKit starts a listener that ends with the test.
func startKit(t *testing.T, c *redistest.Cluster) *kit {
	t.Helper()
	k := &kit{
		t:        t,
		received: received{hints: make(map[string]string), ended: make(map[string]bool)},
		rdb:      c.Client(t),
		prefix:   redistest.Prefix(),
	}
	k.ledger = ledgertest.Open(t, ledger.New(k.rdb, ledger.Config{Prefix: k.prefix, Buckets: 32, Timeout: 2 * time.Second}))
	k.Listener = New(Config{
		Ledger: k.ledger, Instance: "i", Notifications: true, Log: slog.New(slog.NewTextHandler(&k.log, nil)),
		On: Events{Message: k.message, Subscribed: func() {}},
	})
	servers := topology.New(topology.Config{
		Ledger:  k.ledger,
		Log:     slog.New(slog.DiscardHandler),
		Changed: func(_ context.Context, servers []ledger.Server) { k.SetServers(servers) },
	})
	redistest.Background(t, k.Run, servers.Run)
	k.SetBuckets(t.Context(), []int{0, 1, 2}, true)
	return k
}

// checkAllServers deletes a live key on each server and tells the listener of an end, and
// checks that the listener receives both. It fails the test unless there are as many
// servers as that.
func (k *kit) checkAllServers(servers int) {
	k.t.Helper()
	ctx := k.t.Context()
	ids := make(map[string]string) // by server
	for range 100 {
		tok, err := ledgertest.TryBegin(ctx, k.ledger, token.Timeouts{Idle: time.Hour})
		if err != nil {
			continue // just after a failover the client may not know the new server yet
		}
		ids[k.ledger.ServerOf(tok.ID)] = tok.ID
		if err := k.rdb.Del(ctx, ledgertest.LiveKey(k.ledger, k.prefix, tok)).Err(); err != nil {
			k.t.Fatal(err)
		}
	}
	for server, id := range ids {
		redistest.Eventually(k.t, "the notification of "+server+" is received", func() bool { return k.hint(id) == ledger.Deleted })
		if err := k.ledger.NotifyWatchers(ctx, "j", &ledger.Claim{End: ledger.End{ID: id}, Watchers: []string{"i"}}); err != nil {
			k.t.Fatal(err)
		}
		redistest.Eventually(k.t, "the message of the other instance is received", func() bool { return k.end(id) })
	}
	if len(ids) != servers {
		k.t.Errorf("there were sessions on %d servers, want %d", len(ids), servers)
	}
}

// The leader receives the notifications of every master, also of one that was promoted
// when another was killed, and messages from whichever server publishes them.
func TestEveryMasterIsHeard(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 1)
	k := startKit(t, c)
	redistest.Eventually(t, "the listener is subscribed everywhere", func() bool { return k.State() == On })
	k.checkAllServers(3)

	killed := c.Nodes[0]
	killed.Kill()
	redistest.Eventually(t, "another server has the buckets of the killed one", func() bool {
		servers, err := k.ledger.Servers(t.Context())
		for _, s := range servers {
			if s.Name == killed.Addr {
				k.ledger.ReloadServers(t.Context())
				return false
			}
		}
		return err == nil && len(servers) == 3
	})
	redistest.Eventually(t, "the listener has given up the killed server and listens to three", func() bool {
		k.Listener.mu.Lock()
		defer k.Listener.mu.Unlock()
		_, still := k.keyEvents[killed.Addr]
		return len(k.keyEvents) == 3 && !still
	})
	redistest.Eventually(t, "the listener is subscribed everywhere again", func() bool { return k.State() == On })
	k.checkAllServers(3)
	if n := strings.Count(k.log.String(), "the subscription to Redis at "+killed.Addr+" is lost"); n != 1 {
		t.Errorf("%d lines say that the subscriptions to the killed server are lost, want 1:\n%s", n, &k.log)
	}
	for _, s := range k.servers {
		if flags := s.Client.ConfigGet(t.Context(), parameter).Val()[parameter]; missingFlags(flags) != "" {
			t.Errorf("%s: the notification flags are %q, which lacks some", s.Name, flags)
		}
	}
}
