package reaper

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

const (
	// maxBroken bounds what is logged, each thing once.
	maxBroken = 1000

	// brokenLooks is for how many looks at everything a session is left alone whose
	// keys cannot be read. Were it looked at with each of them, enough such sessions
	// would hide those behind them.
	brokenLooks = 60

	// tailLooks is with every how many looks at everything the ends of due-indexes are
	// read.
	tailLooks = 60
)

// note notes what is wrong with the beginning of a bucket's due-index: others have
// written to it. What of it can be read is looked at all the same.
func (r *Reaper) note(b int, h ledger.Head) {
	if h.Err != nil {
		r.complain(fmt.Sprint("bucket ", b), "lifecycle: a due-index was overwritten with something else; delete the key",
			"bucket", b, "error", h.Err)
	}
	for _, id := range h.Misdated {
		r.complain(id, "lifecycle: somebody has written an impossible time into the due-index; it is put right, and the end of that session may be late",
			"session", id, "bucket", b)
	}
	if h.Foreign == 0 {
		return
	}
	r.complain(fmt.Sprint("entries of bucket ", b),
		"lifecycle: a due-index has entries that name no session of its bucket, they are left alone; was the number of buckets changed by hand?",
		"bucket", b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.foreign[b] = max(r.foreign[b], h.Foreign)
}

// mostForeign returns how many more entries to read so as to see behind those that
// others have put there.
func (r *Reaper) mostForeign(buckets []int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := 0
	for _, b := range buckets {
		most = max(most, r.foreign[b])
	}
	return most
}

// redate gives sessions whose due entries have impossible times another one: late
// enough for whoever holds the claim of an end to renew its lease before.
func (r *Reaper) redate(ctx context.Context, buckets []int, heads []ledger.Head) error {
	misdated := make([][]string, len(heads))
	for i, h := range heads {
		misdated[i] = h.Misdated
	}
	if err := r.postpone(ctx, buckets, misdated, r.c.Lease); err != nil {
		return err
	}
	for i, b := range buckets {
		if len(misdated[i]) > 0 {
			r.lookAtBucket(b) // for what is behind them
		}
	}
	return nil
}

// postpone puts off the looks at sessions, grouped by bucket.
func (r *Reaper) postpone(ctx context.Context, buckets []int, ids [][]string, pause time.Duration) error {
	if !slices.ContainsFunc(ids, func(some []string) bool { return len(some) > 0 }) {
		return nil
	}
	return r.c.Ledger.Postpone(context.WithoutCancel(ctx), buckets, ids, pause)
}

// readTails looks, where it is time to, for due entries whose times are so late that nothing else would
// come upon them.
func (r *Reaper) readTails(ctx context.Context) error {
	r.mu.Lock()
	var own []int
	if r.tails {
		own = slices.Collect(maps.Keys(r.next))
	}
	r.tails = false
	r.mu.Unlock()
	if len(own) == 0 {
		return nil
	}
	more, err := r.redateTails(ctx, own)
	if more || err != nil {
		r.mu.Lock()
		r.tails = true
		r.mu.Unlock()
	}
	return err
}

func (r *Reaper) redateTails(ctx context.Context, own []int) (more bool, err error) {
	tails, err := r.c.Ledger.Tails(ctx, own, batch)
	if err != nil {
		return false, err
	}
	for i, b := range own {
		r.note(b, ledger.Head{Misdated: tails[i].Misdated})
		more = more || len(tails[i].Misdated) > 0
	}
	return more, r.redate(ctx, own, tails)
}

// unreadable says of sessions that nothing can be done for them, and returns them.
func (r *Reaper) unreadable(found ledger.Looked) []string {
	var ids []string
	for _, u := range found.Unreadable {
		r.complain(u.ID, "lifecycle: the end of a session cannot be handled, somebody has overwritten one of its keys; delete that one, and the hooks run",
			"session", u.ID, "keys", r.c.Ledger.Pattern(u.ID), "error", u.Err)
		ids = append(ids, u.ID)
	}
	return ids
}

// complain logs an error, once for each thing that it is about.
func (r *Reaper) complain(about, text string, args ...any) {
	r.mu.Lock()
	_, known := r.broken[about]
	news := !known && len(r.broken) < maxBroken
	if news {
		r.broken[about] = struct{}{}
	}
	r.mu.Unlock()
	if news {
		r.c.Log.Error(text, args...)
	}
}
