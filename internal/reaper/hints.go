package reaper

import (
	"context"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

const (
	// maxHints is how many hints of each kind wait, at most, and how many ends
	// rememberEnds keeps. A session whose hint is dropped is found when it is due.
	maxHints = 100_000

	// rememberFor is for how long an end is remembered, at least. It may be twice that.
	rememberFor = 5 * time.Second
)

// queue holds hints in the order in which they came, one for each session. Taking some out
// costs no more where very many wait.
type queue struct {
	hints map[string]string // by session: what the last hint said
	order []string
}

func newQueue() queue { return queue{hints: make(map[string]string)} }

func (q *queue) len() int { return len(q.order) }

// add adds a hint. If there is one of the same session, the new one takes its place.
func (q *queue) add(s ledger.Suspect) {
	if _, known := q.hints[s.ID]; !known {
		q.order = append(q.order, s.ID)
	}
	q.hints[s.ID] = s.Hint
}

// take takes the first n hints out.
func (q *queue) take(n int) []ledger.Suspect {
	n = min(n, len(q.order))
	taken := make([]ledger.Suspect, n)
	for i, id := range q.order[:n] {
		taken[i] = ledger.Suspect{ID: id, Hint: q.hints[id]}
		delete(q.hints, id)
	}
	q.order = q.order[n:]
	return taken
}

// suspect makes the reaper look at one session, in whatever bucket. hint is what was said
// of its live key: ledger.Expired, ledger.Deleted or ledger.Evicted.
func (r *Reaper) suspect(id, hint string) {
	r.mu.Lock()
	q := r.queueOf(hint)
	if r.isRecent(id) || q.len() >= maxHints {
		r.mu.Unlock()
		return // the look that found the end has caused this event, or there are too many
	}
	q.add(ledger.Suspect{ID: id, Hint: hint})
	r.mu.Unlock()
	r.wakeUp()
}

// queueOf returns the queue for a hint. The caller holds mu.
func (r *Reaper) queueOf(hint string) *queue {
	if hint == ledger.Expired {
		return &r.expired
	}
	return &r.removed
}

// hintsWait reports whether hints wait in each of the two queues.
func (r *Reaper) hintsWait() (removed, expired bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.removed.len() > 0, r.expired.len() > 0
}

// takeHints takes up to n hints out of one of the reaper's queues. It returns those whose
// sessions' ends were not found here a short while ago.
func (r *Reaper) takeHints(q *queue, n int) []ledger.Suspect {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(q.take(n), func(s ledger.Suspect) bool { return r.isRecent(s.ID) })
}

// lookHints looks at up to n of the sessions that the hints in one of the reaper's queues
// name.
func (r *Reaper) lookHints(ctx context.Context, q *queue, n int) error {
	taken := r.takeHints(q, min(n, hintTurn))
	at := make(map[int]int) // by bucket: its last place in buckets
	var buckets []int
	var suspects [][]ledger.Suspect
	for _, s := range taken {
		if r.c.Sink.HasClaim(s.ID) {
			continue
		}
		b := r.c.Ledger.Bucket(s.ID)
		i, ok := at[b]
		if !ok || len(suspects[i]) == batch { // the rest of the bucket goes into another call
			i = len(buckets)
			at[b] = i
			buckets, suspects = append(buckets, b), append(suspects, nil)
		}
		suspects[i] = append(suspects[i], s)
	}
	if len(buckets) == 0 {
		return nil
	}
	_, err := r.lookAt(ctx, buckets, suspects)
	if err != nil {
		r.putBack(q, suspects)
	}
	return err
}

// putBack puts hints back whose look has failed, for another try. Redis may be out of
// memory, for example, and that is when it evicts live keys.
func (r *Reaper) putBack(q *queue, hints [][]ledger.Suspect) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, some := range hints {
		for _, s := range some {
			if _, newer := q.hints[s.ID]; !newer {
				q.add(s)
			}
		}
	}
}

// rememberEnds keeps the IDs of ends that were found here for a while. The look that finds
// an end makes Redis publish that the live key is gone, and that hint is ignored.
func (r *Reaper) rememberEnds(claims []*ledger.Claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.recentAt) > rememberFor {
		r.recent[0], r.recent[1] = map[string]struct{}{}, r.recent[0]
		r.recentAt = now
	}
	for _, c := range claims {
		if len(r.recent[0]) < maxHints {
			r.recent[0][c.ID] = struct{}{}
		}
	}
}

// isRecent reports whether rememberEnds still knows the end of a session. The caller holds
// mu.
func (r *Reaper) isRecent(id string) bool {
	_, a := r.recent[0][id]
	_, b := r.recent[1][id]
	return a || b
}
