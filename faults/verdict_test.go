package faults

import (
	"fmt"
	"testing"
	"time"
)

// verdict is what the checker found.
type verdict struct {
	sessions   int // sessions that began
	ends       int // sessions of these that ended, and whose hooks all succeeded
	created    int // runs of created hooks
	runs       int // runs of destroyed hooks
	closures   int // runs of closures
	repeats    int // further runs of a destroyed hook that had not failed; each needs a kill or a freeze as its cause
	again      int // further runs, on another instance, of a destroyed hook that had succeeded while another hook had failed
	cutOff     int // runs on the instance that was cut off from the rest together with a Redis master
	lost       int // ends that were never handled
	living     int // runs for a live session, or with a reason that is not true
	signedOut  int // visitors who lost their session though they had not signed out
	deleted    int // ends with the reason "deleted"
	excused    int // sessions that Redis lost because the test made it lose them
	violations []string
	lags       []time.Duration // from each end to the start of its first hook, sorted
}

// violate notes that an invariant was broken.
func (v *verdict) violate(format string, args ...any) {
	v.violations = append(v.violations, fmt.Sprintf(format, args...))
}

// lag returns a percentile of the lags; p is between 0 and 1.
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
