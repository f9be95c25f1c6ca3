package backoff

import (
	"math"
	"testing"
	"time"
)

// draws is how often a pause that depends on chance is drawn.
const draws = 2000

// drawn returns the shortest and the longest of many pauses.
func drawn(pause func() time.Duration) (shortest, longest time.Duration) {
	shortest = math.MaxInt64
	for range draws {
		d := pause()
		shortest, longest = min(shortest, d), max(longest, d)
	}
	return shortest, longest
}

// within checks that pauses around middle are changed by chance, by up to one part of
// parts: never by more, and among many pauses some by nearly as much.
func within(t *testing.T, what any, middle, parts time.Duration, pause func() time.Duration) {
	t.Helper()
	part := middle / parts
	shortest, longest := drawn(pause)
	if shortest < middle-part || longest > middle+part {
		t.Errorf("%v: pauses from %v to %v, want %v, more or less by %v at most", what, shortest, longest, middle, part)
	}
	if shortest > middle-part/2 || longest < middle+part/2 {
		t.Errorf("%v: pauses from %v to %v only, want them spread by %v around %v", what, shortest, longest, part, middle)
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{
		1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 3: 200 * time.Millisecond, 6: 1600 * time.Millisecond,
		7: 2 * time.Second, 8: 2 * time.Second, 64: 2 * time.Second, 65: 2 * time.Second, 1000: 2 * time.Second,
	} {
		within(t, failures, want, 2, func() time.Duration {
			b := Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
			for range failures - 1 {
				b.Next()
			}
			return b.Next()
		})
	}
}

// After Reset the pauses begin again with the shortest.
func TestReset(t *testing.T) {
	t.Parallel()
	b := Backoff{Min: time.Second, Max: time.Hour}
	if b.Failing() {
		t.Error("a new Backoff says that something has failed")
	}
	for range 10 {
		b.Next()
	}
	if !b.Failing() {
		t.Error("after ten failures a Backoff says that nothing has failed")
	}
	within(t, "first pause after Reset", time.Second, 2, func() time.Duration {
		b.Reset()
		if b.Failing() {
			t.Error("after Reset a Backoff says that something has failed")
		}
		return b.Next()
	})
}

func TestForAttempt(t *testing.T) {
	t.Parallel()
	for attempt, want := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 11: 1024 * time.Second, 12: 2048 * time.Second,
		13: time.Hour, 64: time.Hour, 65: time.Hour, 1000: time.Hour, math.MaxInt: time.Hour,
		0: time.Second, -1: time.Second, // no attempt has such a number: as the first
	} {
		within(t, attempt, want, 5, func() time.Duration { return ForAttempt(time.Second, time.Hour, attempt) })
	}
}

// A pause that is doubled very often, or that is very long, does not overflow.
func TestNoOverflow(t *testing.T) {
	t.Parallel()
	for attempt := 1; attempt <= 1000; attempt++ {
		if d := ForAttempt(time.Hour, 24*time.Hour, attempt); d < 48*time.Minute || d > 29*time.Hour {
			t.Errorf("attempt %d: %v", attempt, d)
		}
	}
	b := Backoff{Min: 1, Max: math.MaxInt64}
	for failures := range 200 {
		if d := b.Next(); d < 0 {
			t.Errorf("failure %d: %v", failures+1, d)
		}
	}
}

// Where the shortest pause is the longest too, it stays.
func TestOnePause(t *testing.T) {
	t.Parallel()
	for _, attempt := range []int{1, 2, 3, 100} {
		within(t, attempt, time.Second, 5, func() time.Duration { return ForAttempt(time.Second, time.Second, attempt) })
	}
}
