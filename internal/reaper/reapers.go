package reaper

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Reapers look for the ended sessions of one instance. There is one Reaper for each server,
// so that a server that does not answer holds up no other. Make Reapers with New, and start
// them with Run. Their methods are safe for concurrent use, and except for Run they never
// wait for Redis.
type Reapers struct {
	c Config
	shared

	mu       sync.Mutex
	own      []int                    // the buckets that this instance looks after, sorted
	byServer map[string]*serverReaper // by the server's name
	byBucket map[int]*serverReaper
	startOne func(*serverReaper) // starts a reaper; nil unless Run is running
	wg       sync.WaitGroup
}

// shared is what the reapers of an instance have in common.
type shared struct {
	claims  atomic.Int64 // how many looks have asked for claims: each has another token
	servers atomic.Int64
}

// size returns how many reapers there are.
func (s *shared) size() int { return int(s.servers.Load()) }

// serverReaper is the reaper of one server.
type serverReaper struct {
	*Reaper
	buckets []int              // those that the server has
	cancel  context.CancelFunc // ends the reaper; nil while it does not run
}

// New returns reapers of no server.
func New(c Config) *Reapers {
	return &Reapers{c: c, byServer: make(map[string]*serverReaper), byBucket: make(map[int]*serverReaper)}
}

// SetServers sets which servers there are, and which buckets they have. The reaper of a
// server that is not among them ends. Its buckets are looked after by the reaper of the
// server that has them now.
func (r *Reapers) SetServers(servers []ledger.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.byServer
	r.byServer = make(map[string]*serverReaper, len(servers))
	clear(r.byBucket)
	for _, s := range servers {
		x := before[s.Name]
		delete(before, s.Name)
		if x == nil {
			c := r.c
			c.Log = s.Log(c.Log)
			x = &serverReaper{Reaper: newReaper(c, &r.shared)}
			x.server = s.Name
			if r.startOne != nil {
				r.startOne(x)
			}
		}
		x.buckets = s.Buckets
		r.byServer[s.Name] = x
		for _, b := range s.Buckets {
			r.byBucket[b] = x
		}
	}
	for _, x := range before { // those that are not there any more
		if x.cancel != nil {
			x.cancel()
		}
	}
	r.servers.Store(int64(len(servers)))
	r.distribute()
}

// distribute gives each reaper those of this instance's buckets that its server has. The
// caller holds mu.
func (r *Reapers) distribute() {
	for _, x := range r.byServer {
		var own []int
		for _, b := range x.buckets {
			if _, is := slices.BinarySearch(r.own, b); is {
				own = append(own, b)
			}
		}
		x.setBuckets(own)
	}
}

// SetBuckets sets the buckets that this instance looks after, sorted. All of them are
// looked at.
func (r *Reapers) SetBuckets(buckets []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own = buckets
	r.distribute()
}

// LookAtAll makes the reapers look at all buckets of this instance: something may have been
// missed.
func (r *Reapers) LookAtAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.byServer {
		x.lookAtAll()
	}
}

// LookAt makes the reapers look at one bucket. A bucket that is not this instance's is
// ignored.
func (r *Reapers) LookAt(bucket int) {
	if x := r.reaperOf(bucket); x != nil {
		x.lookAtBucket(bucket)
	}
}

// Suspect makes the reapers look at one session, in whatever bucket. hint is what was said
// of its live key: ledger.Expired, ledger.Deleted or ledger.Evicted. Whether it is true is
// for the look to find out.
func (r *Reapers) Suspect(id, hint string) {
	if x := r.reaperOf(r.c.Ledger.Bucket(id)); x != nil {
		x.suspect(id, hint)
	}
}

// reaperOf returns the reaper of the server that has a bucket, nil if there is none.
func (r *Reapers) reaperOf(bucket int) *serverReaper {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byBucket[bucket]
}

// Overdue returns for how long the oldest entry in the due-indexes of this instance's
// buckets has been due, as far as they have been read.
func (r *Reapers) Overdue() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var most time.Duration
	for _, x := range r.byServer {
		most = max(most, x.overdue())
	}
	return most
}

// Run looks for ended sessions until ctx ends. It is called once.
func (r *Reapers) Run(ctx context.Context) {
	r.mu.Lock()
	r.startOne = func(x *serverReaper) {
		own, cancel := context.WithCancel(ctx)
		x.cancel = cancel
		r.wg.Go(func() { x.run(own) })
	}
	for _, x := range r.byServer {
		r.startOne(x)
	}
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	r.startOne = nil // SetServers starts no more reapers
	r.mu.Unlock()
	r.wg.Wait()
}
