package faults

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// balancer is what a load balancer knows: the instances that take visitors.
type balancer struct {
	mu sync.Mutex
	ps []*process
}

func (b *balancer) get() []*process {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*process(nil), b.ps...)
}

// replace takes an instance out, and another one in.
func (b *balancer) replace(old, next *process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, p := range b.ps {
		if p == old {
			b.ps[i] = next
		}
	}
}

// Four instances under load are replaced one after the other, as a deployment does,
// with the default heartbeat: no end is lost, and none is handled twice. The lag is
// in the log.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	f.setup.Heartbeat = 0 // the default
	ps := f.together("a", "b", "c", "d")
	lb := &balancer{ps: ps}
	stop := f.load(lb.get)
	f.eventually("ends are handled", func() bool { return f.runs(done, "") >= 100 })
	for i, old := range ps {
		next := f.start(fmt.Sprintf("%s%d", old.name, i))
		lb.replace(old, next)
		if err := old.shutDown(); err != nil {
			t.Error(err)
		}
		handled := f.runs(done, "")
		f.eventually("ends are handled", func() bool { return f.runs(done, "") >= handled+200 })
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

// One of four instances is killed under load: the others look after its buckets,
// and what it had claimed is taken over when its lease is over. How long that takes,
// with the default heartbeat, is in the log.
func TestKilledInstanceIsMissed(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	f.setup.Heartbeat = 0 // the default
	ps := f.together("a", "b", "c", "d")
	lb := &balancer{ps: ps[:3]}
	stop := f.load(lb.get)
	f.eventually("each has handled ends", func() bool {
		for _, p := range ps {
			if len(p.stats().Ended) == 0 {
				return false
			}
		}
		return true
	})
	killed := time.Now()
	ps[3].kill()
	f.eventually("the others look after all buckets", func() bool {
		for _, p := range ps[:3] {
			if p.stats().Instances != 3 {
				return false
			}
		}
		return true
	})
	missed := time.Since(killed)
	stop()
	v := f.finish()
	t.Logf("missed after %v; %d ends, %d lost, %d repeated; longest lag %v", missed.Round(time.Millisecond), v.ends, v.lost, v.repeats, v.lag(1))
}
