package faults

import (
	"fmt"
	"testing"
	"time"
)

// verdict is what the checker found.
type verdict struct {
	sessions   int // that began
	ends       int // of these, ended and handled
	created    int // runs of created hooks
	runs       int // of destroyed hooks
	closures   int // of handlers' hooks
	repeats    int // runs of a destroyed hook that had not failed, each after a kill or a freeze
	again      int // runs of a destroyed hook that had succeeded, elsewhere, as another hook had failed
	torn       int // runs of an instance in a world of its own
	lost       int // ends
	living     int // runs for sessions that lived, or had not ended in the way that the hook was told
	signedOut  int // visitors, by others than themselves
	deleted    int // ends that hooks were told of as deleted by others
	excused    int // sessions that Redis itself lost, by the test's doing
	violations []string
	lags       []time.Duration // end to the first hook's start, sorted
}

func (v *verdict) violate(format string, args ...any) {
	v.violations = append(v.violations, fmt.Sprintf(format, args...))
}

// lag returns a percentile.
func (v *verdict) lag(p float64) time.Duration {
	if len(v.lags) == 0 {
		return 0
	}
	return v.lags[int(p*float64(len(v.lags)-1))]
}

// report fails the test if an invariant was broken.
func (v *verdict) report(t testing.TB) {
	t.Helper()
	for i, text := range v.violations {
		if i == 20 {
			t.Errorf("... and %d more", len(v.violations)-i)
			break
		}
		t.Error(text)
	}
}
