package delivery

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/ledger/ledgertest"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// quick is a runner whose hooks succeed at once.
type quick struct{}

func (quick) Deliver(context.Context, Lease, *ledger.Claim) Outcome { return Outcome{} }
func (quick) Hung() int                                             { return 0 }

// endSessions begins and ends sessions until there are some on two servers, and many on
// one of them. It returns their claims by server, and the server with many.
func endSessions(t *testing.T, l *ledger.Ledger, many int) (claims map[string][]*ledger.Claim, server string) {
	t.Helper()
	claims = make(map[string][]*ledger.Claim)
	for len(claims) < 2 || len(claims[server]) < many {
		k, _ := ledgertest.Begin(t, l, token.Timeouts{Idle: time.Hour})
		claim, ok, err := l.End(t.Context(), k.ID, k.Proof(), "why", ledger.ClaimTerms{Token: "i:" + k.ID, Lease: time.Hour})
		if err != nil || !ok {
			t.Fatalf("end: %v, %v", ok, err)
		}
		server = l.ServerOf(k.ID)
		claims[server] = append(claims[server], claim)
	}
	return claims, server
}

// A server that does not answer holds up no ack on the others, however long a call to it
// may take.
func TestOneServerAway(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2, 0, "--cluster-require-full-coverage", "no")
	rdb := c.Client(t, func(o *redis.ClusterOptions) { o.ReadTimeout = time.Minute })
	l := ledgertest.Open(t, ledger.New(rdb, ledger.Config{Prefix: redistest.Prefix(), Buckets: 16, Timeout: time.Minute}))
	claims, away := endSessions(t, l, 5)
	for _, node := range c.Nodes {
		if node.Addr == away {
			node.Pause()
		}
		defer node.Resume()
	}

	d := New(Config{Ledger: l, Runner: quick{}, Instance: "i", Workers: 1, Lease: time.Hour, Log: slog.New(slog.DiscardHandler)})
	d.Start()
	d.Submit(claims[away])
	unfinished := func(server string) bool {
		for _, c := range claims[server] {
			if d.HasClaim(c.ID) {
				return true
			}
		}
		return false
	}
	for server, cs := range claims {
		if server == away {
			continue
		}
		d.Submit(cs)
		redistest.Eventually(t, "the ends on the other server are finished", func() bool { return !unfinished(server) })
	}
	if !unfinished(away) {
		t.Error("the ends on the server that is away are finished")
	}
	for _, node := range c.Nodes {
		node.Resume()
	}
	redistest.Eventually(t, "all ends are finished", func() bool { return !unfinished(away) })
	if err := d.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}
