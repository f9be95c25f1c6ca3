package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// How a test ends.

// finish waits until every session has ended and its hooks have run, shuts the
// instances down, and lets the checker judge.
func (f *fleet) finish() verdict {
	f.t.Helper()
	f.eventually("every session has ended and its end is handled", f.settled)
	return f.stopAndCheck()
}

// stopAndCheck shuts the instances down and lets the checker judge.
func (f *fleet) stopAndCheck() verdict {
	f.t.Helper()
	for _, p := range f.living() {
		if err := p.shutDown(); err != nil {
			f.t.Error(err)
		}
	}
	f.leavesNothing()
	v := f.known.check(f.events(), f.setup.Idle)
	v.report(f.t)
	return v
}

// settled reports whether no session is live and no end waits for its hooks.
func (f *fleet) settled() bool {
	pipe := f.rdb.Pipeline()
	for b := range f.setup.Buckets {
		pipe.ZCard(context.Background(), f.dueIndex(b))
	}
	waiting, err := pipe.Exec(context.Background())
	if err != nil {
		return false
	}
	for _, n := range waiting {
		if n.(*redis.IntCmd).Val() > 0 {
			return false
		}
	}
	return f.keys(liveKeys) == 0
}

// leavesNothing is invariant I8 for what is in Redis. For goroutines each instance
// checks it itself when it exits.
func (f *fleet) leavesNothing() {
	f.t.Helper()
	keys, err := f.keyNames("*")
	if err != nil {
		f.t.Errorf("I8: %v", err)
	}
	for _, k := range keys {
		if k == f.setup.Prefix+":buckets" || k == f.setup.Prefix+":instances" || strings.HasPrefix(k, f.setup.Prefix+":serving:") {
			continue
		}
		// Where an instance was killed, tombstones wait for its closures until their time to live is over.
		if left := f.rdb.PTTL(context.Background(), k).Val(); left < 0 || !f.anyKilled() {
			f.t.Errorf("I8: left in Redis: %s, time to live %v", k, left)
		}
	}
	f.eventually("I8: all connections are closed", func() bool {
		n := f.connections()
		return n >= 0 && n <= int(f.rdb.PoolStats().TotalConns) // the test's own
	})
}

// anyKilled reports whether any instance was killed.
func (f *fleet) anyKilled() bool {
	return slices.ContainsFunc(f.all(), (*process).killed)
}

// dueIndex returns the key of a bucket's due-index.
func (f *fleet) dueIndex(bucket int) string {
	return fmt.Sprintf("%s:{%d}:due", f.setup.Prefix, bucket)
}
