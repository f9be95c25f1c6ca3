package ledger

import (
	"sync"
	"time"
)

// Clock estimates the Redis server's clock from the times in its replies. It
// runs on the process's monotonic clock in between, so the wall clock of the
// machine does not matter, wrong or not.
//
// What must be right is decided inside Redis; the estimate says when it is
// worth asking. The zero value knows nothing yet. Safe for concurrent use.
type Clock struct {
	now func() time.Time // nil: time.Now

	mu   sync.Mutex
	at   time.Time // when the sample was taken, with its monotonic reading
	unix int64     // the server's milliseconds then
	rtt  time.Duration

	borrowed bool // the sample is another server's
}

// A sample is kept for this long before one with a longer round trip replaces it.
const sampleLife = 10 * time.Second

func (c *Clock) local() time.Time {
	if c.now != nil {
		return c.now()
	}
	return time.Now()
}

// Unix returns the server's time in Unix milliseconds, 0 before the first sample.
func (c *Clock) Unix() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unix == 0 {
		return 0
	}
	return c.unix + c.local().Sub(c.at).Milliseconds()
}

// Until returns how long it takes until the server's clock shows unix.
func (c *Clock) Until(unix int64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(unix-c.unix)*time.Millisecond - c.local().Sub(c.at)
}

// borrow returns a clock of another server that shows, until its first sample, what
// this one does.
func (c *Clock) borrow() *Clock {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Clock{now: c.now, at: c.at, unix: c.unix, borrowed: true}
}

// Age returns the age of the estimate; it is very large before the first sample.
func (c *Clock) Age() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unix == 0 || c.borrowed {
		return 1 << 62
	}
	return c.local().Sub(c.at)
}

// Sample takes in the server's time from a reply to a command sent at sent. A
// sample whose round trip was long says little and gives way to better ones.
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
