package faults

import (
	"sync"
	"time"
)

// slot is a place for an instance. It has a proxy to Redis of its own. A killed instance is
// replaced by another one in the same slot.
type slot struct {
	*soak
	name  string
	proxy *proxy

	busy sync.Mutex // held by the fault that acts on the slot
	mu   sync.Mutex
	now  *process // nil while there is none
}

// process returns the slot's instance, nil while there is none.
func (sl *slot) process() *process {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	return sl.now
}

func (sl *slot) set(p *process) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	sl.now = p
}

// start starts an instance in the slot, with a clock that is ahead by skew.
func (sl *slot) start(skew time.Duration) {
	setup := sl.setup
	setup.Redis, setup.Skew = sl.proxy.addr, skew
	p, err := sl.launch(sl.name, setup)
	if err != nil {
		sl.t.Errorf("slot %s: %v", sl.name, err)
		return
	}
	sl.set(p)
}

// replace kills the slot's instance and starts another one, with a clock that is ahead by
// skew.
func (sl *slot) replace(skew time.Duration) {
	p := sl.process()
	sl.set(nil)
	if p != nil {
		p.kill()
	}
	if skew != 0 {
		sl.soak.mu.Lock()
		sl.skewed++
		sl.soak.mu.Unlock()
	}
	sl.start(skew)
}
