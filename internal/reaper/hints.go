package reaper

import (
	"context"
	"maps"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// suspect asks for a look at one session, in whatever bucket, of whose live key
// hint was said.
func (r *Reaper) suspect(id, hint string) {
	r.mu.Lock()
	if r.isRecent(id) || len(r.hints)+len(r.expired) >= maxHints {
		r.mu.Unlock()
		return // the event of an end that was found here, or too much at once
	}
	if hint == ledger.Expired {
		r.expired[id] = hint
	} else {
		r.hints[id] = hint
	}
	r.mu.Unlock()
	r.poke()
}

// isRecent reports whether the session's end was found here a short while ago.
// The caller holds mu.
func (r *Reaper) isRecent(id string) bool {
	_, a := r.recent[0][id]
	_, b := r.recent[1][id]
	return a || b
}

// waitingHints returns the hints to follow now, nil if there are none. An expired
// key's session is mostly due as well, so that hint waits for the due-index, and
// is seldom needed then.
func (r *Reaper) waitingHints(due bool) map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.hints) > 0 {
		return r.hints
	}
	if due {
		return nil
	}
	maps.DeleteFunc(r.expired, func(id, _ string) bool { return r.isRecent(id) })
	if len(r.expired) > 0 {
		return r.expired
	}
	return nil
}

// lookHints looks at up to n of the sessions that hints, one of the reaper's own
// maps, names.
func (r *Reaper) lookHints(ctx context.Context, hints map[string]string, n int) error {
	r.mu.Lock()
	at := make(map[int]int)
	var buckets []int
	var suspects [][]ledger.Suspect
	for id, hint := range hints {
		if n == 0 {
			break
		}
		if r.c.Sink.Holds(id) {
			delete(hints, id)
			continue
		}
		b := r.c.Ledger.Bucket(id)
		i, ok := at[b]
		if !ok {
			i = len(buckets)
			at[b] = i
			buckets, suspects = append(buckets, b), append(suspects, nil)
		}
		if len(suspects[i]) < batch {
			suspects[i] = append(suspects[i], ledger.Suspect{ID: id, Hint: hint})
			delete(hints, id)
			n--
		}
	}
	r.mu.Unlock()
	_, err := r.lookAt(ctx, buckets, suspects)
	if err != nil {
		// Out of memory, for one: just when sessions are evicted.
		r.mu.Lock()
		for _, suspects := range suspects {
			for _, s := range suspects {
				hints[s.ID] = s.Hint
			}
		}
		r.mu.Unlock()
	}
	return err
}

// remember keeps the IDs of ends found here for a while, so that the events
// that these looks provoke are not looked at again.
func (r *Reaper) remember(claims []*ledger.Claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.turned) > 5*time.Second {
		r.recent[0], r.recent[1] = map[string]struct{}{}, r.recent[0]
		r.turned = now
	}
	for _, c := range claims {
		if len(r.recent[0]) < maxHints {
			r.recent[0][c.ID] = struct{}{}
		}
	}
}
