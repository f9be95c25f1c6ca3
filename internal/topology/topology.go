// Package topology watches which servers there are and which of them has which
// bucket. Without a cluster there is one, and nothing to watch.
package topology

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

const (
	// lookInterval is how often what the cluster's client knows is looked at, which
	// takes no round trip.
	lookInterval = time.Second
	// reloadInterval is how often the client is made to ask. It asks by itself where
	// it is redirected, and the ledger makes it ask after an error.
	reloadInterval = 5 * time.Second
)

// Config is what a Topology is made of.
type Config struct {
	Ledger *ledger.Ledger
	Log    *slog.Logger
	// Changed is called with the servers, at first and whenever they or their buckets
	// have changed, from the goroutine of Run.
	Changed func(context.Context, []ledger.Shard)
}

// Topology watches the servers. Make it with New.
type Topology struct{ c Config }

// New returns a topology that does not watch yet.
func New(c Config) *Topology { return &Topology{c} }

// Run watches until ctx ends. Without a cluster it returns after the first call of
// Config.Changed.
func (t *Topology) Run(ctx context.Context) {
	l := t.c.Ledger
	var last []ledger.Shard
	failed := false
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	reloaded := time.Now()
	for {
		shards, err := l.Shards(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !failed {
				t.c.Log.Warn("lifecycle: the cluster does not tell its servers, will be asked again", "error", err)
			}
		case !slices.EqualFunc(shards, last, same):
			t.c.Changed(ctx, shards)
			last = shards
		}
		failed = err != nil
		if !l.Clustered() {
			return
		}
		if time.Since(reloaded) >= reloadInterval {
			reloaded = time.Now()
			l.ReloadShards(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

func same(a, b ledger.Shard) bool {
	return a.Name == b.Name && a.Client == b.Client && slices.Equal(a.Buckets, b.Buckets)
}
