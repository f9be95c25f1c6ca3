package topology

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

const (
	// readInterval is the pause between two readings of the client's table of servers.
	// A reading sends nothing to Redis.
	readInterval = time.Second
	// reloadInterval is the pause between two orders to the client to renew its table.
	// The client also renews it when a server redirects it, and after an error that
	// the ledger has seen.
	reloadInterval = 5 * time.Second
)

// Config holds what New needs.
type Config struct {
	Ledger *ledger.Ledger
	Log    *slog.Logger
	// Changed is called with all servers when they are first known, and again whenever
	// one of them or their buckets have changed. It is called from the goroutine of Run.
	Changed func(context.Context, []ledger.Server)
}

// Topology watches the servers. Make it with New, and start it with Run.
type Topology struct{ c Config }

// New returns a topology that does not watch yet.
func New(c Config) *Topology { return &Topology{c} }

// Run watches until ctx ends. Without a cluster it returns after the first call of
// Config.Changed.
func (t *Topology) Run(ctx context.Context) {
	l := t.c.Ledger
	var last []ledger.Server
	failed := false
	read := time.NewTicker(readInterval)
	defer read.Stop()
	reloaded := time.Now()
	for {
		servers, err := l.Servers(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !failed {
				t.c.Log.Warn("lifecycle: the Redis cluster does not say which servers it has; this instance goes on with the servers that it knows, "+
					"and the destroyed hooks of sessions on other servers wait; it asks again every second", "error", err)
			}
		case !slices.EqualFunc(servers, last, same):
			t.c.Changed(ctx, servers)
			last = servers
		}
		failed = err != nil
		if !l.Clustered() {
			return
		}
		if time.Since(reloaded) >= reloadInterval {
			reloaded = time.Now()
			l.ReloadServers(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-read.C:
		}
	}
}

// same reports whether a and b are the same server with the same buckets.
func same(a, b ledger.Server) bool {
	return a.Name == b.Name && a.Client == b.Client && slices.Equal(a.Buckets, b.Buckets)
}
