package reaper

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Reapers are the reapers of one instance, one for each server: a server that is
// away holds up no other. Make them with New. Their methods are safe for concurrent
// use and never wait for Redis.
type Reapers struct {
	c Config
	shared

	mu     sync.Mutex
	own    []int
	shards map[string]*running // by name
	of     map[int]*running    // by bucket
	run    func(*running)      // nil before Run
	wg     sync.WaitGroup
}

// shared is what the reapers of an instance have in common.
type shared struct {
	claims atomic.Int64 // asked for so far: each has another token
	parts  atomic.Int64
}

// size returns how many reapers there are.
func (s *shared) size() int { return int(s.parts.Load()) }

// running is a reaper, of the buckets that its server has.
type running struct {
	*Reaper
	buckets []int
	end     context.CancelFunc
}

// New returns reapers of no server yet.
func New(c Config) *Reapers {
	return &Reapers{c: c, shards: make(map[string]*running), of: make(map[int]*running)}
}

// SetServers sets which servers there are. A reaper whose server has gone ends; what is
// left to do in its buckets is the others'.
func (r *Reapers) SetServers(shards []ledger.Shard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := r.shards
	r.shards = make(map[string]*running, len(shards))
	clear(r.of)
	for _, s := range shards {
		x := gone[s.Name]
		delete(gone, s.Name)
		if x == nil {
			c := r.c
			c.Log = s.Log(c.Log)
			x = &running{Reaper: newReaper(c, &r.shared)}
			if r.run != nil {
				r.run(x)
			}
		}
		x.buckets = s.Buckets
		r.shards[s.Name] = x
		for _, b := range s.Buckets {
			r.of[b] = x
		}
	}
	for _, x := range gone {
		if x.end != nil {
			x.end()
		}
	}
	r.parts.Store(int64(len(shards)))
	r.distribute()
}

// distribute tells each reaper its buckets. The caller holds mu.
func (r *Reapers) distribute() {
	for _, x := range r.shards {
		var own []int
		for _, b := range x.buckets {
			if _, is := slices.BinarySearch(r.own, b); is {
				own = append(own, b)
			}
		}
		x.keep(own)
	}
}

// SetBuckets sets the buckets, sorted, that this instance looks after, and looks at all of
// them.
func (r *Reapers) SetBuckets(buckets []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own = buckets
	r.distribute()
}

// LookAtAll asks for a look at every bucket: something may have been missed.
func (r *Reapers) LookAtAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.shards {
		x.lookAtAll()
	}
}

// LookAt asks for a look at one bucket, if it is this instance's.
func (r *Reapers) LookAt(bucket int) {
	if x := r.reaperOf(bucket); x != nil {
		x.lookAtBucket(bucket)
	}
}

// Suspect asks for a look at one session, in whatever bucket, of whose live key
// hint was said.
func (r *Reapers) Suspect(id, hint string) {
	if x := r.reaperOf(r.c.Ledger.Bucket(id)); x != nil {
		x.suspect(id, hint)
	}
}

func (r *Reapers) reaperOf(bucket int) *running {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[bucket]
}

// Overdue returns for how long the oldest entry of this instance's buckets, as far
// as is known, has been due.
func (r *Reapers) Overdue() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var most time.Duration
	for _, x := range r.shards {
		most = max(most, x.overdue())
	}
	return most
}

// Run looks until ctx ends. It is called once.
func (r *Reapers) Run(ctx context.Context) {
	r.mu.Lock()
	r.run = func(x *running) {
		own, end := context.WithCancel(ctx)
		x.end = end
		r.wg.Go(func() { x.run(own) })
	}
	for _, x := range r.shards {
		r.run(x)
	}
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	r.run = nil // no more
	r.mu.Unlock()
	r.wg.Wait()
}
