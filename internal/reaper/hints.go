package reaper

import (
	"context"
	"slices"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// queue holds hints in the order in which they came, one for each session. To take
// some costs no more where very many wait.
type queue struct {
	hints map[string]string // session -> what was said of it last
	order []string
}

func newQueue() queue { return queue{hints: make(map[string]string)} }

func (q *queue) len() int { return len(q.order) }

// add adds a hint, or replaces the one that the session has.
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

// suspect asks for a look at one session, in whatever bucket, of whose live key
// hint was said.
func (r *Reaper) suspect(id, hint string) {
	r.mu.Lock()
	q := r.queueOf(hint)
	if r.isRecent(id) || q.len() >= maxHints {
		r.mu.Unlock()
		return // the event of an end that was found here, or too much at once
	}
	q.add(ledger.Suspect{ID: id, Hint: hint})
	r.mu.Unlock()
	r.poke()
}

// queueOf returns where a hint waits. The caller holds mu.
func (r *Reaper) queueOf(hint string) *queue {
	if hint == ledger.Expired {
		return &r.expired
	}
	return &r.gone
}

// isRecent reports whether the session's end was found here a short while ago.
// The caller holds mu.
func (r *Reaper) isRecent(id string) bool {
	_, a := r.recent[0][id]
	_, b := r.recent[1][id]
	return a || b
}

// hinted reports whether there are hints.
func (r *Reaper) hinted() (gone, expired bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gone.len() > 0, r.expired.len() > 0
}

// takeHints takes up to n hints out of one of the reaper's queues, and returns those
// that are still news.
func (r *Reaper) takeHints(q *queue, n int) []ledger.Suspect {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(q.take(n), func(s ledger.Suspect) bool { return r.isRecent(s.ID) })
}

// lookHints looks at up to n of the sessions that the hints in one of the reaper's
// queues name.
func (r *Reaper) lookHints(ctx context.Context, q *queue, n int) error {
	taken := r.takeHints(q, min(n, hintTurn))
	at := make(map[int]int)
	var buckets []int
	var suspects [][]ledger.Suspect
	for _, s := range taken {
		if r.c.Sink.Holds(s.ID) {
			continue
		}
		b := r.c.Ledger.Bucket(s.ID)
		i, ok := at[b]
		if !ok || len(suspects[i]) == batch { // another call for the rest
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
		// Out of memory, for one: just when sessions are evicted.
		r.mu.Lock()
		for _, suspects := range suspects {
			for _, s := range suspects {
				if _, again := q.hints[s.ID]; !again {
					q.add(s)
				}
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
