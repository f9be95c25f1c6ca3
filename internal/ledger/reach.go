package ledger

import (
	"cmp"
	"context"
	"errors"
	"net"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// reachTime is how long Open waits at most to find out whether Redis refuses connections.
// Behind Sentinel it is sentinelTime: go-redis then asks each sentinel several times, which
// takes 1.7 seconds with its defaults, before it says that they refuse.
const (
	reachTime    = time.Second
	sentinelTime = 2500 * time.Millisecond
)

// reach finds out whether Redis refuses connections. go-redis dials again and again, until
// the context of a call ends, and says then that the time was over; reach dials each
// address of the client once, and says why it is refused.
type reach struct {
	addrs []string // empty: they are not known, and reach says nothing
	time  time.Duration
	dial  func(ctx context.Context, addr string) (net.Conn, error)

	mu   sync.Mutex
	last *attempt // that has not returned; never more than one, even if a dialer hangs
}

// attempt is one try to connect to Redis.
type attempt struct {
	began time.Time
	done  chan struct{}
	err   error // set before done is closed
}

// newReach returns a reach for a client. It uses the dialer of the client, with its network,
// its TLS settings and, behind Sentinel, its question for the master's address.
func newReach(rdb redis.UniversalClient) *reach {
	r := &reach{time: reachTime}
	switch c := rdb.(type) {
	case clusterClient:
		o := c.Options()
		ownClients := o.NewClient != nil && reflect.ValueOf(o.NewClient).Pointer() != reflect.ValueOf(redis.NewClient).Pointer()
		if o.ClusterSlots != nil || ownClients {
			return r // only the application knows the addresses, or how to dial them
		}
		dial := o.Dialer
		if dial == nil {
			dial = redis.NewDialer(&redis.Options{DialTimeout: cmp.Or(max(o.DialTimeout, 0), reachTime), TLSConfig: o.TLSConfig})
		}
		r.addrs = o.Addrs
		r.dial = func(ctx context.Context, addr string) (net.Conn, error) { return dial(ctx, "tcp", addr) }
	case interface{ Options() *redis.Options }:
		o := c.Options()
		r.addrs = []string{o.Addr}
		if o.Addr == sentinelAddr {
			r.time = sentinelTime
		}
		r.dial = func(ctx context.Context, addr string) (net.Conn, error) { return o.Dialer(ctx, o.Network, addr) }
	}
	return r
}

// RefusalTime returns how long Open takes at most to find out that Redis refuses connections, if
// its own time is longer.
func (l *Ledger) RefusalTime() time.Duration { return l.reach.time }

// refused returns an error if no address of Redis can be connected to, and this turned out
// in time, and within three quarters of the time that ctx has left. nil means that one of
// them has accepted, or that it is not known.
func (r *reach) refused(ctx context.Context) error {
	if len(r.addrs) == 0 {
		return nil
	}
	a := r.attempt()
	wait := time.Until(a.began.Add(r.time))
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end)*3/4) // leave the client time for its own connection
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case <-a.done:
		if ctx.Err() == nil {
			return a.err
		}
	case <-late.C:
	case <-ctx.Done():
	}
	return nil
}

// attempt returns the attempt that is under way, or begins one.
func (r *reach) attempt() *attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		a := &attempt{began: time.Now(), done: make(chan struct{})}
		r.last = a
		go func() {
			err := r.connect()
			r.mu.Lock()
			r.last = nil
			r.mu.Unlock()
			a.err = err
			close(a.done)
		}()
	}
	return r.last
}

// connect dials all addresses at the same time. It returns nil if one accepts, or neither
// accepts nor refuses in time.
func (r *reach) connect() error {
	// An address has less time than Open waits, so that Open gets the error of a dialer that
	// has tried until then.
	ctx, cancel := context.WithTimeout(context.Background(), r.time*4/5)
	defer cancel()
	dialed := make(chan error, len(r.addrs))
	for _, addr := range r.addrs {
		go func() {
			conn, err := r.dial(ctx, addr)
			if err == nil {
				_ = conn.Close()
			}
			dialed <- err
		}()
	}
	var all refusal
	for range r.addrs {
		err := <-dialed
		if !refuses(err) {
			return nil
		}
		all = append(all, err)
	}
	return all
}

// refuses reports whether err, of a dialer, says that there is nobody to connect to. A time
// that is over does not say so, nor does a failure of the name server itself.
func refuses(err error) bool {
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.IsNotFound
	}
	var network net.Error
	return !errors.As(err, &network) || !network.Timeout()
}

// refusal has an error for each address.
type refusal []error

func (r refusal) Error() string {
	texts := make([]string, len(r))
	for i, err := range r {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (r refusal) Unwrap() []error { return r }
