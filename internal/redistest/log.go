package redistest

import (
	"strings"
	"sync"
)

// Log keeps everything that is written to it. A test passes it to a logger or to a
// process, and reads it while they are still writing: all methods are safe for
// concurrent use. The zero value is empty and ready to use.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write appends p. It never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns everything that has been written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Contains reports whether text has been written so far.
func (l *Log) Contains(text string) bool { return strings.Contains(l.String(), text) }
