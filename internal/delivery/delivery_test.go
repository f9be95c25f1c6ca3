package delivery

import (
	"testing"
	"time"
)

func TestRetryDelay(t *testing.T) {
	t.Parallel()
	r := Retry{Attempts: 100, Min: time.Second, Max: time.Hour}
	for attempt, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 11: 1024 * time.Second, 13: time.Hour, 64: time.Hour, 1000: time.Hour} {
		for range 100 {
			if d := r.delay(attempt); d < want*4/5 || d > want*6/5 {
				t.Errorf("attempt %d: %v, want about %v", attempt, d, want)
			}
		}
	}
}
