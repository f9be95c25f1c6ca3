package ledger

import (
	"sync"
	"time"
)

// Clock estimates what the clock of a Redis server shows. Each sample is a time in a reply
// of the server. Between two samples the estimate follows the monotonic clock of the
// process, so it does not matter whether the wall clock of the machine is right.
//
// The estimate only says when it is worth calling Redis. Everything that must be right is
// decided inside Redis. The zero value has no sample yet. A Clock is safe for concurrent
// use.
type Clock struct {
	now func() time.Time // nil: time.Now

	mu   sync.Mutex
	at   time.Time     // when the sample was taken, with its monotonic reading
	unix int64         // the server's milliseconds then
	rtt  time.Duration // round trip of the sample

	borrowed bool // the sample is from another server
}

// sampleLife is how old a sample must be before one with a much longer round trip, which
// is less exact, may replace it.
const sampleLife = 10 * time.Second

// local returns the time by the clock of the process.
func (c *Clock) local() time.Time {
	if c.now != nil {
		return c.now()
	}
	return time.Now()
}

// Unix returns the estimated time of the server in Unix milliseconds, 0 before the first
// sample.
func (c *Clock) Unix() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unix == 0 {
		return 0
	}
	return c.unix + c.local().Sub(c.at).Milliseconds()
}

// Until returns how long it takes until the server's clock shows unix, which is in Unix
// milliseconds. It is negative if that time is over.
func (c *Clock) Until(unix int64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(unix-c.unix)*time.Millisecond - c.local().Sub(c.at)
}

// borrow returns a clock for another server. Until its own first sample it shows the same
// time as c.
func (c *Clock) borrow() *Clock {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Clock{now: c.now, at: c.at, unix: c.unix, borrowed: true}
}

// Age returns how old the last sample is. It is very large if there is no sample, or only
// a borrowed one.
func (c *Clock) Age() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unix == 0 || c.borrowed {
		return 1 << 62
	}
	return c.local().Sub(c.at)
}

// Sample takes over the server's time, in Unix milliseconds, from the reply to a command
// that was sent at sent. It is ignored if its round trip was much longer than that of the
// last sample, and the last sample is not old: the server may have read its clock at any
// moment of the round trip.
func (c *Clock) Sample(unix int64, sent time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	received := c.local()
	rtt := received.Sub(sent)
	if c.unix != 0 && !c.borrowed && rtt > 2*c.rtt && received.Sub(c.at) < sampleLife {
		return
	}
	c.unix, c.rtt, c.borrowed = unix, rtt, false
	c.at = sent.Add(rtt / 2)
}
