package lifecycle

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// watchDead counts the dead set of this instance's buckets now and then, and
// keeps it within its limit.
func (bg *background) watchDead(ctx context.Context) {
	ticker := time.NewTicker(bg.m.config.deadInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			bg.trimDead(ctx, bg.countDead(ctx))
		}
	}
}

// deadSize is how many dead ends a bucket holds.
type deadSize struct {
	bucket int
	size   int64
}

// countDead counts the dead ends of each of this instance's buckets; nil if Redis
// does not tell.
func (bg *background) countDead(ctx context.Context) []deadSize {
	bg.mu.Lock()
	own := bg.own
	bg.mu.Unlock()
	counted, err := bg.m.store.ledger.DeadSizes(ctx, own)
	if err != nil {
		return nil // the last count stands
	}
	var sizes []deadSize
	var all int64
	for i, n := range counted {
		if n < 0 {
			bg.deadOverwritten(own[i])
			continue
		}
		sizes = append(sizes, deadSize{own[i], n})
		all += n
	}
	bg.mu.Lock()
	bg.dead = all
	bg.mu.Unlock()
	return sizes
}

// deadOverwritten says, once, that a bucket's dead set is none any more.
func (bg *background) deadOverwritten(bucket int) {
	bg.mu.Lock()
	_, said := bg.deadError[bucket]
	if bg.deadError == nil {
		bg.deadError = make(map[int]struct{})
	}
	bg.deadError[bucket] = struct{}{}
	bg.mu.Unlock()
	if !said {
		bg.m.log.Error("lifecycle: a dead set was overwritten with something else, and what stood in it is lost; delete the key", "bucket", bucket)
	}
}

// trimDead drops what is beyond this instance's share of the dead set's limit.
func (bg *background) trimDead(ctx context.Context, sizes []deadSize) {
	m := bg.m
	if m.config.deadLimit == 0 {
		return
	}
	share := deadShare(m.config.deadLimit, len(sizes), m.store.ledger.Buckets())
	dropped := 0
	for i, keep := range deadKeep(sizes, share) {
		n, err := m.store.ledger.TrimDead(ctx, sizes[i].bucket, sizes[i].size, keep, m.config.tombstone)
		dropped += n
		if err != nil && !ledger.IsOverwritten(err) {
			break // the next time, Redis being away for all of them
		}
	}
	if dropped == 0 {
		return
	}
	m.stats.dropped.Add(uint64(dropped))
	m.log.Error("lifecycle: the dead set is over its limit, its oldest ends were dropped and their hooks will not run; "+
		"mend the hooks that fail and use RetryDead, or raise WithDeadLimit",
		"dropped", dropped, "limit", m.config.deadLimit, "share", share)
	bg.countDead(ctx)
}

// deadShare returns how many dead ends the own buckets among all may hold
// together, rounded up.
func deadShare(limit, own, all int) int64 {
	whole, rest := int64(limit/all), int64(limit%all) // limit * own may overflow
	return whole*int64(own) + (rest*int64(own)+int64(all)-1)/int64(all)
}

// deadKeep sorts sizes and returns how many ends each of these buckets keeps, so
// that all together keep share, or all they have if that is less. The fullest
// give: IDs fall into buckets by chance, so a limit for each of them would drop
// ends long before there are too many. Instances that count the same decide the
// same, and to drop what is over it twice is to drop it once.
func deadKeep(sizes []deadSize, share int64) []int64 {
	slices.SortFunc(sizes, func(a, b deadSize) int {
		return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.bucket, b.bucket))
	})
	keep := make([]int64, len(sizes))
	for i, s := range sizes {
		// An equal part of what is left; what an emptier bucket does not use goes to
		// the fuller ones behind it.
		keep[i] = min(s.size, share/int64(len(sizes)-i))
		share -= keep[i]
	}
	return keep
}
