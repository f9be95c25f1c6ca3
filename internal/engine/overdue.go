package engine

import (
	"context"
	"sync"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// unattended are the buckets that this instance has given up because its hooks hang. If
// there is no other instance, nobody looks after them. Operators need the figure Overdue
// then more than ever, so the instance goes on reading it.
type unattended struct {
	mu      sync.Mutex
	buckets []int
	first   int64 // when their first entry is due, Unix ms; 0 if not known
}

// set notes the buckets, whose oldest end has waited for overdue at the time now.
func (u *unattended) set(buckets []int, overdue time.Duration, now int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.buckets, u.first = buckets, 0
	if overdue > 0 {
		u.first = now - overdue.Milliseconds()
	}
}

func (u *unattended) clear() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.buckets, u.first = nil, 0
}

// read reads from Redis when the first entry of the buckets is due. If Redis does not
// answer, the last answer stands.
func (u *unattended) read(ctx context.Context, l *ledger.Ledger) {
	u.mu.Lock()
	buckets := u.buckets
	u.mu.Unlock()
	if len(buckets) == 0 {
		return
	}
	heads, err := l.Heads(ctx, buckets, 1)
	if err != nil {
		return
	}
	var first int64
	for _, head := range heads {
		if len(head.Entries) > 0 && (first == 0 || head.Entries[0].At < first) {
			first = head.Entries[0].At
		}
	}
	u.mu.Lock()
	u.first = first
	u.mu.Unlock()
}

// overdue returns for how long, at the time now, the first entry has been due. ok is
// false if there is none, or it is not known.
func (u *unattended) overdue(now int64) (d time.Duration, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return time.Duration(max(now-u.first, 0)) * time.Millisecond, u.first != 0
}

// overdue returns for how long the oldest end has waited, of the buckets that this
// instance looks after or has given up.
func (e *Engine) overdue() time.Duration {
	if d, ok := e.unattended.overdue(e.c.Ledger.Clock(0).Unix()); ok {
		return d
	}
	return e.reapers.Overdue()
}
