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
	eventOpened    = "workspace opened" // a handler opened it and registered its closing
	eventClosed    = "workspace closed" // c.OnSessionDestroyed
)

// entry is what a hook reported.
type entry struct {
	At      time.Time `json:"at"`
	Event   string    `json:"event"`
	Session string    `json:"session"` // its ID, which is no secret
	User    string    `json:"user,omitempty"`
	// Detail is the request that began a session, or the reason of its end.
	Detail string `json:"detail,omitempty"`
	// Lag is the time between the end and the hook, in milliseconds; nil for
	// entries that are not of an end. Where Redis has a clock of its own, it is off
	// by the difference.
	Lag *int64 `json:"lag_ms,omitempty"`
}

// journal holds the latest entries. It is bounded: hooks report for as long as
// the application runs. It is safe for concurrent use, as hooks run beside each
// other.
type journal struct {
	mu      sync.Mutex
	size    int
	entries []entry // oldest first
}

func newJournal(size int) *journal { return &journal{size: size} }

// Add notes an entry as of now.
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
	newest := make([]entry, 0, len(j.entries)) // not nil: JSON wants a list
	for _, e := range slices.Backward(j.entries) {
		newest = append(newest, e)
	}
	return newest
}
