package main

import (
	"slices"
	"sync"
	"time"
)

// journalSize is how many entries the page shows.
const journalSize = 100

// Events of the journal.
const (
	eventCreated   = "created"          // OnSessionCreated
	eventDestroyed = "destroyed"        // OnSessionDestroyed
	eventOpened    = "workspace opened" // by a handler, which has registered a hook to close it
	eventClosed    = "workspace closed" // c.OnSessionDestroyed
)

// entry is one report of a hook or a handler.
type entry struct {
	At      time.Time `json:"at"`
	Event   string    `json:"event"`
	Session string    `json:"session"` // the ID, which is not secret
	User    string    `json:"user,omitempty"`
	// Detail is the request that began a session, or the reason of its end.
	Detail string `json:"detail,omitempty"`
	// Lag is the time from the end of the session to the hook, in milliseconds; nil if the entry
	// is not about an end. It is wrong by as much as the clocks of Redis and of this machine differ.
	Lag *int64 `json:"lag_ms,omitempty"`
}

// journal keeps the latest entries and drops older ones. It is safe for concurrent use: several
// hooks run at the same time.
type journal struct {
	mu      sync.Mutex
	size    int
	entries []entry // oldest first
}

// newJournal returns a journal of so many entries.
func newJournal(size int) *journal { return &journal{size: size} }

// Add adds an entry, with the present time.
func (j *journal) Add(e entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.At = time.Now()
	if len(j.entries) == j.size {
		j.entries = slices.Delete(j.entries, 0, 1)
	}
	j.entries = append(j.entries, e)
}

// Entries returns the entries, newest first.
func (j *journal) Entries() []entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	newest := make([]entry, 0, len(j.entries)) // not nil, which would be null in JSON
	for _, e := range slices.Backward(j.entries) {
		newest = append(newest, e)
	}
	return newest
}
