package engine

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// deadSet counts the ends in the dead sets of this instance's buckets, and drops the
// oldest where there are more than the limit allows.
type deadSet struct {
	ledger   *ledger.Ledger
	log      *slog.Logger
	limit    int // of the fleet; 0 for none
	interval time.Duration

	size    atomic.Int64  // at the last count
	dropped atomic.Uint64 // so far

	mu       sync.Mutex
	own      []int            // buckets of this instance
	reported map[int]struct{} // buckets for which the log says that they were overwritten
}

// Run counts and trims at each interval, until ctx ends.
func (d *deadSet) Run(ctx context.Context) {
	ticker := time.NewTicker(d.interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			d.trim(ctx, d.count(ctx))
		}
	}
}

// setBuckets sets the buckets of this instance, and counts.
func (d *deadSet) setBuckets(ctx context.Context, own []int) {
	d.mu.Lock()
	d.own = own
	d.mu.Unlock()
	d.count(ctx)
}

// bucketSize is how many dead ends a bucket holds.
type bucketSize struct {
	bucket int
	size   int64
}

// count counts the dead ends of each bucket of this instance. It returns nil if Redis
// does not answer, and the last count stands.
func (d *deadSet) count(ctx context.Context) []bucketSize {
	d.mu.Lock()
	own := d.own
	d.mu.Unlock()
	counted, err := d.ledger.DeadSizes(ctx, own)
	if err != nil {
		return nil
	}
	var sizes []bucketSize
	var all int64
	for i, n := range counted {
		if n < 0 {
			d.overwritten(own[i])
			continue
		}
		sizes = append(sizes, bucketSize{own[i], n})
		all += n
	}
	d.size.Store(all)
	return sizes
}

// overwritten logs, once for each bucket, that its dead set holds something else now.
func (d *deadSet) overwritten(bucket int) {
	d.mu.Lock()
	_, reported := d.reported[bucket]
	if d.reported == nil {
		d.reported = make(map[int]struct{})
	}
	d.reported[bucket] = struct{}{}
	d.mu.Unlock()
	if !reported {
		d.log.Error("lifecycle: another program has overwritten a dead set, and the ends in it are lost; "+
			"delete the key, whose name ends in {<bucket>}:dead; until then ends that fail are tried again instead of going there", "bucket", bucket)
	}
}

// trim drops the ends that are beyond this instance's share of the limit.
func (d *deadSet) trim(ctx context.Context, sizes []bucketSize) {
	if d.limit == 0 {
		return
	}
	share := shareOf(d.limit, len(sizes), d.ledger.Buckets())
	dropped := 0
	for i, keep := range keepOf(sizes, share) {
		n, err := d.ledger.TrimDead(ctx, sizes[i].bucket, sizes[i].size, keep, Tombstone)
		dropped += n
		if err != nil && !ledger.IsOverwritten(err) {
			break // Redis is away: try again at the next interval
		}
	}
	if dropped == 0 {
		return
	}
	d.dropped.Add(uint64(dropped))
	d.log.Error("lifecycle: the dead set is over its limit, its oldest ends were dropped and their hooks will not run; "+
		"fix the hooks that fail and use RetryDead, or raise WithDeadLimit",
		"dropped", dropped, "limit", d.limit, "share", share)
	d.count(ctx)
}

// shareOf returns how many dead ends the own buckets among all may hold together,
// rounded up.
func shareOf(limit, own, all int) int64 {
	whole, rest := int64(limit/all), int64(limit%all) // limit * own may overflow
	return whole*int64(own) + (rest*int64(own)+int64(all)-1)/int64(all)
}

// keepOf sorts sizes, and returns for each bucket how many ends it keeps, so that all
// together keep share, or everything if that is less. The fullest buckets lose ends
// first: IDs fall into buckets by chance, and a limit for each bucket would drop ends
// long before there are too many. Trimming is idempotent: instances that count the same
// keep the same.
func keepOf(sizes []bucketSize, share int64) []int64 {
	slices.SortFunc(sizes, func(a, b bucketSize) int {
		return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.bucket, b.bucket))
	})
	keep := make([]int64, len(sizes))
	for i, s := range sizes {
		// An equal part of what is left. What an emptier bucket does not use is left for
		// the fuller ones that follow.
		keep[i] = min(s.size, share/int64(len(sizes)-i))
		share -= keep[i]
	}
	return keep
}
