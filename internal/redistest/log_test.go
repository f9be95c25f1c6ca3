package redistest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// Several goroutines write at the same time: no line is lost or torn.
func TestLog(t *testing.T) {
	t.Parallel()
	const lines = 200
	var log Log
	var wg sync.WaitGroup
	for i := range lines {
		wg.Go(func() { _, _ = fmt.Fprintf(&log, "line %d.\n", i) })
	}
	wg.Wait()
	for i := range lines {
		if want := fmt.Sprintf("line %d.\n", i); !log.Contains(want) {
			t.Errorf("the log does not contain %q", want)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != lines {
		t.Errorf("the log has %d lines, want %d", n, lines)
	}
}
