package cookie

import (
	"sync"
	"time"
)

const (
	// healAgain is the pause between two removals for one session.
	healAgain = time.Minute
	// maxHealed is how many sessions a Healing remembers.
	maxHealed = 1000
)

// Healing remembers for which sessions further cookies of the session's name were removed
// a short while ago. If the browser still sends them they cannot be removed, and it is of
// no use to try with every request. The zero value is ready. It is safe for concurrent use.
type Healing struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// Begin reports whether to remove the further cookies of a session now.
func (h *Healing) Begin(id string) bool {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if at, ok := h.last[id]; ok && now.Sub(at) < healAgain {
		return false
	}
	if h.last == nil || len(h.last) >= maxHealed {
		h.last = make(map[string]time.Time)
	}
	h.last[id] = now
	return true
}
