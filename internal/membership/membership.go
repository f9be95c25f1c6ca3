package membership

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// View is what an instance knows about all instances.
type View struct {
	// Instances is the number of instances that are alive, this one included. Where this
	// instance has given all its buckets up, it is the number in the last list that it has
	// read.
	Instances int
	// Deliverers is how many of them look after buckets and claim ends.
	Deliverers int
	Own        []int // the buckets that this instance looks after, sorted
	// Leader is true on the one instance that listens to keyspace notifications. If
	// every instance listened, Redis would send each notification to all of them.
	Leader bool
}

// Config holds what New needs.
type Config struct {
	Ledger   *ledger.Ledger
	Instance string
	// ServesOnly says that this instance looks after no buckets.
	ServesOnly bool
	Interval   time.Duration // pause between two heartbeats
	On         Events
}

// Events are the functions that Run calls, all from its own goroutine.
type Events struct {
	Changed  func(context.Context, View) // there is a new view; called for the first one too
	DataLost func()                      // the data in Redis was deleted, or is another server's
	Beat     func(error)                 // how a heartbeat went; called after every one
	// Ready is called before every heartbeat. It returns whether this instance can run
	// hooks. If it returns false the instance gives up all its buckets, and other
	// instances look after them.
	Ready func(context.Context) bool
}

// Membership sends the heartbeats of one instance. Make it with New, and start it with
// Run.
type Membership struct {
	c    Config
	self ledger.Member
	poke chan struct{}
}

// missedBeats is after how many missed heartbeats an instance counts as gone.
const missedBeats = 3

// maxBeats is how many heartbeats there are in an interval at most, however often Poke
// is called: anybody who may publish in Redis can cause a call.
const maxBeats = 10

// New returns a membership that sends no heartbeats yet.
func New(c Config) *Membership {
	return &Membership{c: c, self: ledger.Member{Instance: c.Instance, ServesOnly: c.ServesOnly}, poke: make(chan struct{}, 1)}
}

// Poke brings the next heartbeat forward: somebody has said that an instance has come or
// gone. It is safe for concurrent use and does not wait.
func (m *Membership) Poke() {
	select {
	case m.poke <- struct{}{}:
	default:
	}
}

// Run sends heartbeats until ctx ends. Then it takes the instance off the list.
func (m *Membership) Run(ctx context.Context) {
	on := m.c.On
	var last []ledger.Member // nil while this instance is not on the list
	ticker := time.NewTicker(m.c.Interval)
	defer ticker.Stop()
	for {
		if !on.Ready(ctx) {
			if last != nil {
				m.leave(ctx)
				on.Changed(ctx, View{Instances: len(last), Deliverers: len(deliverers(last))})
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
			on.Changed(ctx, viewOf(m.self, alive, m.c.Ledger.Buckets()))
			if !slices.Contains(last, m.self) {
				_ = m.c.Ledger.NotifyInstances(ctx) // if it fails, the others find out with their next heartbeat
			}
			last = alive
		}
		if !m.awaitNextBeat(ctx, ticker.C) {
			m.leave(ctx)
			return
		}
	}
}

// awaitNextBeat waits until it is time for the next heartbeat: until tick, or until Poke
// has been called and the last heartbeat is long enough ago. It returns false when ctx
// has ended.
func (m *Membership) awaitNextBeat(ctx context.Context, tick <-chan time.Time) bool {
	earliest := time.NewTimer(m.c.Interval / maxBeats)
	defer earliest.Stop()
	var poke <-chan struct{} // nil, and so ignored, before earliest
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick:
			return true
		case <-earliest.C:
			poke = m.poke
		case <-poke:
			return true
		}
	}
}

// beat sends one heartbeat and returns all instances that are alive, sorted.
func (m *Membership) beat(ctx context.Context) ([]ledger.Member, error) {
	lost, err := m.c.Ledger.Foundation(ctx)
	if err != nil {
		return nil, err
	}
	if lost {
		m.c.On.DataLost()
	}
	alive, err := m.c.Ledger.Heartbeat(ctx, m.self, missedBeats*m.c.Interval)
	slices.SortFunc(alive, func(a, b ledger.Member) int { return strings.Compare(a.Instance, b.Instance) })
	return alive, err
}

// leave takes the instance off the list and tells the others, even if ctx has ended. If
// that fails, the others miss its heartbeats.
func (m *Membership) leave(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	if m.c.Ledger.Leave(ctx, m.self) == nil {
		_ = m.c.Ledger.NotifyInstances(ctx)
	}
}

// viewOf returns the view that instance self has of a list of instances.
func viewOf(self ledger.Member, alive []ledger.Member, buckets int) View {
	keepers := deliverers(alive)
	v := View{Instances: len(alive), Deliverers: len(keepers)}
	if self.ServesOnly {
		return v
	}
	for b := range buckets {
		if Keeper(keepers, b) == self.Instance {
			v.Own = append(v.Own, b)
			v.Leader = v.Leader || b == 0
		}
	}
	return v
}

// deliverers returns the names of the instances that look after buckets.
func deliverers(alive []ledger.Member) (names []string) {
	for _, m := range alive {
		if !m.ServesOnly {
			names = append(names, m.Instance)
		}
	}
	return names
}

// Keeper returns the instance that looks after bucket b: the one whose hash together with
// b is the highest. An instance that comes or goes moves only its own share of buckets.
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
