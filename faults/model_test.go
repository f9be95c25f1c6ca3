package faults

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

func init() {
	// How many histories there are, and how many steps each has on average. Flags on the command
	// line are read later and override both.
	_ = flag.Set("rapid.checks", "40")
	_ = flag.Set("rapid.steps", "50")
}

const modelPrefix = "model"

// TestModel lets sessions, instances and Redis go through random histories. After each step
// it compares the library and Redis with a simple model, which is a list of sessions. Time
// passes only where the model says so: the model moves deadlines and leases in Redis.
func TestModel(t *testing.T) {
	server := redistest.Start(t)
	rdb := redistest.Client(t, server.Addr)
	wait := patience
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt, rdb, server.Addr, wait)
		defer func() {
			if !m.finished {
				wait = patience / 10 // the test has failed, and rapid looks for a shorter history that fails
			}
			m.close()
		}()
		rt.Repeat(m.actions())
		m.finish()
	})
}

// actions returns what may happen, by name. Actions that give the others something to work
// on are there several times, so that they happen more often.
func (m *model) actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){
		"":         m.check,
		"create":   m.doCreate,
		"save":     m.doSave,
		"touch":    m.doTouch,
		"rotate":   m.doRotate,
		"stale":    m.doStale,
		"hold":     m.doHold,
		"remove":   m.doTakeBack,
		"late":     m.doLate,
		"destroy":  m.doDestroy,
		"race":     m.doRace,
		"expire":   m.doExpire,
		"early":    m.doEarly,
		"zombie":   m.doZombie,
		"settle":   m.doSettle,
		"kill":     m.doKill,
		"shutdown": m.doShutdown,
		"start":    m.doStart,
		"deafen":   m.doDeafen,
		"mute":     m.doMute,
		"flush":    m.doFlush,
	}
	for name, times := range map[string]int{"create": 3, "save": 2, "rotate": 2, "hold": 4, "remove": 2, "late": 2, "expire": 2, "start": 3} {
		for n := 2; n <= times; n++ {
			actions[fmt.Sprintf("%s (%d)", name, n)] = actions[name]
		}
	}
	return actions
}

// model is the state that is expected, and what the hooks have reported.
type model struct {
	t        *rapid.T
	ctx      context.Context
	rdb      *redis.Client // the test's own
	addr     string
	patience time.Duration

	notifications bool
	instances     []*modelInstance // those that run
	started       int              // instances that were ever started
	signed        map[string]bool  // IDs that have ever been in the list of instances
	muted         atomic.Bool      // messages of instances are lost
	sessions      []*modelSession  // all that ever began
	checks        int
	finished      bool // finish has returned, so the history is good

	mu        sync.Mutex // guards what the hooks write
	created   map[string]int
	destroyed map[string][]modelRun
	barriers  map[modelAttempt]*modelBarrier
	failing   map[string]bool // sessions at whose end the first attempt fails
}

// modelSession is a session as the model expects it.
type modelSession struct {
	id     string
	bucket string // the beginning of its keys
	cookie string
	old    []string // cookies from before rotations
	values map[any]any
	holds  []*modelHold

	confirmed bool // the cookie has come back once

	ended   bool
	reason  lifecycle.Reason
	fails   int  // how many attempts at the end fail
	crashed bool // the claim was taken over from an instance that did not ack the end
	flushed bool // a flush of Redis deleted it
	settled bool // the test has seen that the end is handled
	runs    int  // runs of the global hook by then
}

// modelSlots is how many instances may run at the same time.
const modelSlots = 3

func newModel(t *rapid.T, rdb *redis.Client, addr string, patience time.Duration) *model {
	m := &model{
		t: t, ctx: context.Background(), rdb: rdb, addr: addr, patience: patience,
		signed:    make(map[string]bool),
		created:   make(map[string]int),
		destroyed: make(map[string][]modelRun),
		barriers:  make(map[modelAttempt]*modelBarrier),
		failing:   make(map[string]bool),
	}
	m.must(rdb.FlushAll(m.ctx).Err())
	m.notifications = rapid.Bool().Draw(t, "notifications")
	for range rapid.IntRange(1, modelSlots).Draw(t, "instances") {
		m.instances = append(m.instances, m.startInstance())
	}
	return m
}

// close ends what a failed history has left.
func (m *model) close() {
	m.liftBarriers(nil)
	for _, i := range m.instances {
		i.shutdown()
	}
}

// must fails the test after an error.
func (m *model) must(err error) {
	if err != nil {
		m.t.Helper()
		m.t.Fatal(err)
	}
}

// eventually polls until ok holds, and fails the test if it never does.
func (m *model) eventually(what string, ok func() bool) {
	if err := redistest.Poll(m.patience, ok); err != nil {
		m.t.Helper()
		m.t.Fatalf("%s: %v", what, err)
	}
}

// liftBarriers lets hooks go on that wait at a barrier: those of one instance, or all of them
// if i is nil.
func (m *model) liftBarriers(i *modelInstance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for at, b := range m.barriers {
		runs := m.destroyed[at.id]
		here := slices.ContainsFunc(runs, func(r modelRun) bool { return r.instance == i && r.attempt == at.attempt })
		if i == nil || here {
			b.lift()
		}
	}
}

// instance draws an instance that runs. If there is none, it starts one.
func (m *model) instance(t *rapid.T) *modelInstance {
	if len(m.instances) == 0 {
		m.doStart(t)
	}
	return m.instances[rapid.IntRange(0, len(m.instances)-1).Draw(t, "instance")]
}

// live returns the sessions that have not ended.
func (m *model) live() []*modelSession {
	var live []*modelSession
	for _, s := range m.sessions {
		if !s.ended {
			live = append(live, s)
		}
	}
	return live
}

// session draws a live session. If there is none, the action is skipped.
func (m *model) session(t *rapid.T) *modelSession {
	live := m.live()
	if len(live) == 0 {
		t.Skip("no session")
	}
	return live[rapid.IntRange(0, len(live)-1).Draw(t, "session")]
}
