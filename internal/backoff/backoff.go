package backoff

import (
	"math"
	"math/rand/v2"
	"time"
)

// Backoff computes the pauses of one loop. Set Min and Max before the first use; both
// must be positive, and Max must not be less than Min. It is not safe for concurrent
// use.
type Backoff struct {
	Min, Max time.Duration

	failures int // since Reset
}

// Next counts one more failure and returns the pause before the next try: between one
// half and three halves of Min after the first failure, of twice that after the second,
// and so on, up to three halves of Max.
func (b *Backoff) Next() time.Duration {
	b.failures++
	return spread(doubled(b.Min, b.Max, b.failures), 2)
}

// Reset forgets all failures. The pause after the next failure is about Min.
func (b *Backoff) Reset() { b.failures = 0 }

// Failing reports whether Next has been called since the last Reset. A caller that logs
// a failure once, and not with every try, asks before it calls Next.
func (b *Backoff) Failing() bool { return b.failures > 0 }

// ForAttempt returns the pause after the given attempt, the first one being 1: about
// least after the first attempt, about twice as long after each further one, and never
// more than six fifths of most.
func ForAttempt(least, most time.Duration, attempt int) time.Duration {
	return spread(doubled(least, most, attempt), 5)
}

// longest keeps what spread adds from overflowing.
const longest = time.Duration(math.MaxInt64 / 2)

// doubled returns least after the first failure, twice that after the second, and so
// on, but never more than most.
func doubled(least, most time.Duration, failures int) time.Duration {
	most = min(most, longest)
	// Shifting most to the right instead of least to the left cannot overflow.
	if shift := max(failures-1, 0); shift < 63 && least < most>>shift {
		return least << shift
	}
	return most
}

// spread returns d, made shorter or longer by up to one part of parts.
func spread(d time.Duration, parts int64) time.Duration {
	part := d / time.Duration(parts)
	return d - part + rand.N(2*part+1)
}
