package reaper

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Other programs may write to the keys of this library, by mistake or on purpose. The
// functions here log what a reaper finds of that, and make sure that no such entry hides the
// sessions behind it in the due-index.

const (
	// maxLogged is about how many things logOnce logs, at most.
	maxLogged = 1000

	// unreadableLooks is how many full looks leave out a session whose keys cannot be
	// read. (There is one full look in each Config.Interval.) If each look took such
	// sessions, many of them would hide the sessions behind them.
	unreadableLooks = 60

	// tailLooks is the number of full looks after which the latest entries of the
	// due-indexes are read too.
	tailLooks = 60
)

// reportHead logs what is wrong with the beginning of a bucket's due-index, and notes how
// many of its entries are to be skipped.
func (r *Reaper) reportHead(b int, h ledger.Head) {
	if h.Err != nil {
		r.logOnce(fmt.Sprint("bucket ", b),
			"lifecycle: another program has overwritten a due-index; the destroyed hooks of the sessions in it do not run, and no session can begin in its bucket; "+
				"delete the key, whose name ends in {<bucket>}:due", "bucket", b, "error", h.Err)
	}
	for _, id := range h.ImpossibleTimes {
		r.logOnce(id, "lifecycle: another program has written an impossible time into the due-index; this instance corrects the time, but the session may end late; "+
			"find out which program writes to the keys of lifecycle", "session", id, "bucket", b)
	}
	if h.NotSessions == 0 {
		return
	}
	r.logOnce(fmt.Sprint("entries of bucket ", b),
		"lifecycle: a due-index has entries that are not the IDs of sessions in its bucket; these entries are ignored; "+
			"find out whether somebody has changed the number of buckets by hand, or whether another program writes to the keys of lifecycle", "bucket", b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notSessions[b] = max(r.notSessions[b], h.NotSessions)
}

// mostNotSessions returns how many more entries of these buckets must be read to see those
// behind the entries of other programs.
func (r *Reaper) mostNotSessions(buckets []int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := 0
	for _, b := range buckets {
		most = max(most, r.notSessions[b])
	}
	return most
}

// correctTimes replaces the impossible times of entries. The new time is one lease from
// now, so that the holder of a claim can renew its lease before.
func (r *Reaper) correctTimes(ctx context.Context, buckets []int, heads []ledger.Head) error {
	ids := make([][]string, len(heads))
	for i, h := range heads {
		ids[i] = h.ImpossibleTimes
	}
	if err := r.postpone(ctx, buckets, ids, r.c.Lease); err != nil {
		return err
	}
	for i, b := range buckets {
		if len(ids[i]) > 0 {
			r.lookAtBucket(b) // for what is behind them
		}
	}
	return nil
}

// postpone puts off the next looks at sessions, grouped by bucket.
func (r *Reaper) postpone(ctx context.Context, buckets []int, ids [][]string, pause time.Duration) error {
	if !slices.ContainsFunc(ids, func(some []string) bool { return len(some) > 0 }) {
		return nil
	}
	return r.c.Ledger.Postpone(context.WithoutCancel(ctx), buckets, ids, pause)
}

// readTails reads, if it is time to, the latest entries of the due-indexes and corrects
// those with impossible times. These times are so late that nothing else would ever find
// the entries.
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
	more, err := r.correctTails(ctx, own)
	if more || err != nil {
		r.mu.Lock()
		r.tails = true
		r.mu.Unlock()
	}
	return err
}

// correctTails corrects the latest entries of buckets. more is true if there may be more of
// them.
func (r *Reaper) correctTails(ctx context.Context, buckets []int) (more bool, err error) {
	tails, err := r.c.Ledger.Tails(ctx, buckets, batch)
	if err != nil {
		return false, err
	}
	for i, b := range buckets {
		r.reportHead(b, ledger.Head{ImpossibleTimes: tails[i].ImpossibleTimes})
		more = more || len(tails[i].ImpossibleTimes) > 0
	}
	return more, r.correctTimes(ctx, buckets, tails)
}

// reportUnreadable logs the sessions whose keys a look could not read, and returns their
// IDs.
func (r *Reaper) reportUnreadable(found ledger.Looked) []string {
	var ids []string
	for _, u := range found.Unreadable {
		r.logOnce(u.ID, "lifecycle: the end of a session cannot be handled, because another program has overwritten one of its keys; its destroyed hooks wait; "+
			"delete the key that has the wrong type, which is one of the keys named here; then the hooks run", "session", u.ID, "keys", r.c.Ledger.Pattern(u.ID), "error", u.Err)
		ids = append(ids, u.ID)
	}
	return ids
}

// logOnce logs an error, unless it has logged one about the same thing before.
func (r *Reaper) logOnce(about, text string, args ...any) {
	r.mu.Lock()
	_, known := r.logged[about]
	first := !known && len(r.logged) < maxLogged
	if first {
		r.logged[about] = struct{}{}
	}
	r.mu.Unlock()
	if first {
		r.c.Log.Error(text, args...)
	}
}
