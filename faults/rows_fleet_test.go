package faults

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// balancer is a load balancer: it knows the instances that take visitors.
type balancer struct {
	mu sync.Mutex
	ps []*process
}

// get returns the instances that take visitors at the moment.
func (b *balancer) get() []*process {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*process(nil), b.ps...)
}

// replace puts next in the place of old.
func (b *balancer) replace(old, next *process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ps[slices.Index(b.ps, old)] = next
}

// Four instances under load are replaced one after the other, as a deployment does, with
// the default heartbeat. No end is lost, and none is handled twice. The test logs the lag.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Heartbeat = 0 // the default
	ps := f.together("a", "b", "c", "d")
	lb := &balancer{ps: slices.Clone(ps)}
	stop := f.load(lb.get)
	f.awaitEnds(100)
	for i, old := range ps {
		next := f.start(fmt.Sprintf("%s%d", old.name, i))
		lb.replace(old, next)
		if err := old.shutDown(); err != nil {
			t.Error(err)
		}
		f.awaitMoreEnds(200)
	}
	if failed := stop(); failed > 0 {
		t.Logf("%d visits failed, at instances that were shutting down", failed)
	}
	v := f.finish()
	if v.repeats > 0 {
		t.Errorf("%d repeats", v.repeats)
	}
	t.Logf("%d ends, %d lost, %d repeated; lag p50 %v, p99 %v, longest %v", v.ends, v.lost, v.repeats, v.lag(0.5), v.lag(0.99), v.lag(1))
}

// One of four instances is killed under load. The others look after its buckets, and take
// its claims over when their leases are over. The test logs how long it takes the others to
// notice, with the default heartbeat.
func TestKilledInstanceIsMissed(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup.Heartbeat = 0 // the default
	ps := f.together("a", "b", "c", "d")
	lb := &balancer{ps: ps[:3]}
	stop := f.load(lb.get)
	f.eventually("each instance has handled ends", func() bool {
		return !slices.ContainsFunc(ps, func(p *process) bool { return len(p.stats().Ended) == 0 })
	})
	killed := time.Now()
	ps[3].kill()
	f.eventually("the others look after all buckets", func() bool {
		return !slices.ContainsFunc(ps[:3], func(p *process) bool { return p.stats().Instances != 3 })
	})
	missed := time.Since(killed)
	stop()
	v := f.finish()
	t.Logf("missed after %v; %d ends, %d lost, %d repeated; longest lag %v", missed.Round(time.Millisecond), v.ends, v.lost, v.repeats, v.lag(1))
}
