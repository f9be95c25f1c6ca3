// Package membership says which instance looks after which bucket.
//
// Instances tell of themselves by heartbeats in Redis; each computes from the
// list of those that are alive, by rendezvous hashing, which buckets are its
// own. Two instances may disagree for a moment: claims are atomic, so that
// costs a wasted look and nothing else.
package membership

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// View is what an instance knows of the fleet.
type View struct {
	// Instances are those alive, sorted, this one included; as last known where it
	// has given all buckets up.
	Instances []string
	Own       []int // buckets that this instance looks after
	// Leader is true on the one instance that listens to keyspace
	// notifications: if each did, every end would be told to every instance.
	Leader bool
}

// Config is what a Membership is made of.
type Config struct {
	Ledger   *ledger.Ledger
	Instance string
	Interval time.Duration // pause between two heartbeats
	On       Events
}

// Events is what a Membership reports and asks, from the goroutine of Run.
type Events struct {
	Changed  func(context.Context, View) // a new view, the first one included
	DataLost func()                      // the data in Redis was flushed or replaced
	Beat     func(error)                 // the outcome of every heartbeat
	// Ready is called before every heartbeat. With false the instance gives up all its
	// buckets, and others look after them.
	Ready func(context.Context) bool
}

// Membership keeps the heartbeat of one instance. Make it with New.
type Membership struct {
	c    Config
	poke chan struct{}
}

// missed heartbeats after which an instance counts as gone.
const missed = 3

// pokes is how many heartbeats there are in an interval at most, however often one
// is asked for: anybody who may publish can ask.
const pokes = 10

// New returns a membership that does not beat yet.
func New(c Config) *Membership {
	return &Membership{c: c, poke: make(chan struct{}, 1)}
}

// Poke asks for a heartbeat now: the set of instances is said to have changed.
func (m *Membership) Poke() {
	select {
	case m.poke <- struct{}{}:
	default:
	}
}

// Run beats until ctx ends, then takes the instance off the list.
func (m *Membership) Run(ctx context.Context) {
	on := m.c.On
	var last []string
	ticker := time.NewTicker(m.c.Interval)
	defer ticker.Stop()
	for {
		if !on.Ready(ctx) {
			if last != nil {
				m.leave(ctx)
				on.Changed(ctx, View{Instances: last})
				last = nil
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			continue
		}
		alive, err := m.beat(ctx)
		if ctx.Err() != nil {
			m.leave(ctx)
			return
		}
		on.Beat(err)
		if err == nil && !slices.Equal(alive, last) {
			on.Changed(ctx, view(m.c.Instance, alive, m.c.Ledger.Buckets()))
			if !slices.Contains(last, m.c.Instance) {
				_ = m.c.Ledger.Announce(ctx) // others find out with their next heartbeat
			}
			last = alive
		}
		if !m.wait(ctx, ticker.C) {
			m.leave(ctx)
			return
		}
	}
}

// wait waits until it is time for the next heartbeat. false means that ctx has ended.
func (m *Membership) wait(ctx context.Context, tick <-chan time.Time) bool {
	rest := time.NewTimer(m.c.Interval / pokes)
	defer rest.Stop()
	var poke <-chan struct{} // not heeded before
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick:
			return true
		case <-rest.C:
			poke = m.poke
		case <-poke:
			return true
		}
	}
}

func (m *Membership) beat(ctx context.Context) ([]string, error) {
	lost, err := m.c.Ledger.Foundation(ctx)
	if err != nil {
		return nil, err
	}
	if lost {
		m.c.On.DataLost()
	}
	alive, err := m.c.Ledger.Heartbeat(ctx, m.c.Instance, missed*m.c.Interval)
	slices.Sort(alive)
	return alive, err
}

func (m *Membership) leave(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	if m.c.Ledger.Leave(ctx, m.c.Instance) == nil {
		_ = m.c.Ledger.Announce(ctx)
	}
}

func view(self string, alive []string, buckets int) View {
	v := View{Instances: alive}
	for b := range buckets {
		if Keeper(alive, b) == self {
			v.Own = append(v.Own, b)
			v.Leader = v.Leader || b == 0
		}
	}
	return v
}

// Keeper returns the instance that looks after bucket b: the one whose hash
// with b is highest, so that a coming or going instance moves only its share.
func Keeper(alive []string, b int) string {
	var keeper string
	var best uint64
	suffix := "/" + strconv.Itoa(b)
	for _, instance := range alive {
		if h := xxhash.Sum64String(instance + suffix); keeper == "" || h > best {
			keeper, best = instance, h
		}
	}
	return keeper
}
