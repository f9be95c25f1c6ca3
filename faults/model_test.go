package faults

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	// Runs and steps on average of each; the flags of the command line come later
	// and win.
	_ = flag.Set("rapid.checks", "40")
	_ = flag.Set("rapid.steps", "50")
}

const (
	modelPrefix = "model"
	// modelPatience bounds every wait. It is no expectation: what is slower than
	// this is broken.
	modelPatience = 30 * time.Second
)

// TestModel lets sessions, instances and Redis go through random histories, and
// compares what there is with a model of it that is a list of sessions. Time
// passes only where the model says so: it moves deadlines and leases in Redis.
func TestModel(t *testing.T) {
	server := redistest.Start(t)
	rdb := redistest.Client(t, server.Addr)
	patience := modelPatience
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt, rdb, server.Addr, patience)
		defer func() {
			if !m.finished {
				patience = modelPatience / 10 // it has failed: what follows is shrinking
			}
			m.close()
		}()
		rt.Repeat(m.actions())
		m.finish()
	})
}

// actions returns what may happen. What makes work for the others happens more
// often than what ends it.
func (m *model) actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){
		"":         m.check,
		"create":   m.doCreate,
		"save":     m.doSave,
		"touch":    m.doTouch,
		"rotate":   m.doRotate,
		"stale":    m.doStale,
		"hold":     m.doHold,
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
	for name, times := range map[string]int{"create": 3, "save": 2, "rotate": 2, "hold": 4, "late": 2, "expire": 2, "start": 3} {
		for n := 2; n <= times; n++ {
			actions[fmt.Sprintf("%s (%d)", name, n)] = actions[name]
		}
	}
	return actions
}

// model is the state that is expected, and what has happened.
type model struct {
	t        *rapid.T
	ctx      context.Context
	rdb      *redis.Client // the model's own
	addr     string
	patience time.Duration

	notifications bool
	instances     []*modelInstance // alive
	started       int
	signed        map[string]bool // all that have ever been in the list of instances
	muted         atomic.Bool
	sessions      []*modelSession // all that ever began
	checks        int
	finished      bool

	mu        sync.Mutex // of what hooks write
	created   map[string]int
	destroyed map[string][]modelRun
	barriers  map[modelAttempt]*modelBarrier
	failing   map[string]bool // sessions whose first attempt fails
}

// modelSession is a session as it should be.
type modelSession struct {
	id     string
	bucket string // what its keys begin with
	cookie string
	old    []string // cookies from before rotations
	values map[any]any
	holds  []*modelHold

	confirmed bool // its cookie has come back

	ended   bool
	reason  lifecycle.Reason
	fails   int  // attempts that fail
	crashed bool // the end was taken over from a holder that did not finish it
	flushed bool
	settled bool // the end was found to be handled
	runs    int  // of the global hooks by then
}

// modelSlots is how many instances there may be.
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

// close ends what a failure has left.
func (m *model) close() {
	m.liftBarriers(nil)
	for _, i := range m.instances {
		i.shutdown()
	}
}

func (m *model) must(err error) {
	if err != nil {
		m.t.Helper()
		m.t.Fatal(err)
	}
}

// eventually polls until ok holds.
func (m *model) eventually(what string, ok func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(m.patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			m.t.Helper()
			m.t.Fatalf("never happened: %s", what)
		}
	}
}

// liftBarriers lets hooks that wait at a barrier go on: those of one instance,
// or all.
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

// instance draws one that is alive. If there is none, one is started: what it is
// to do cannot be done without.
func (m *model) instance(t *rapid.T) *modelInstance {
	if len(m.instances) == 0 {
		m.doStart(t)
	}
	return m.instances[rapid.IntRange(0, len(m.instances)-1).Draw(t, "instance")]
}

func (m *model) live() []*modelSession {
	var live []*modelSession
	for _, s := range m.sessions {
		if !s.ended {
			live = append(live, s)
		}
	}
	return live
}

// session draws a live one; without any the action is skipped.
func (m *model) session(t *rapid.T) *modelSession {
	live := m.live()
	if len(live) == 0 {
		t.Skip("no session")
	}
	return live[rapid.IntRange(0, len(live)-1).Draw(t, "session")]
}

// check compares what holds at every moment.
func (m *model) check(t *rapid.T) {
	m.checkHooks(t)
	live := m.live()
	keys, err := m.rdb.Keys(m.ctx, modelPrefix+":{*}:live:*").Result()
	m.must(err)
	if len(keys) != len(live) {
		t.Fatalf("%d live keys, want %d: %v", len(keys), len(live), keys)
	}
	if len(m.instances) == 0 {
		return
	}
	m.checks++
	i := m.instances[m.checks%len(m.instances)]
	found := make(map[string]*lifecycle.Session)
	for s, err := range i.manager.All(m.ctx) {
		m.must(err)
		if found[s.ID] != nil {
			t.Fatalf("session %s is listed twice", s.ID)
		}
		found[s.ID] = s
	}
	for _, s := range live {
		if listed := found[s.id]; listed == nil || !maps.Equal(listed.Values(), s.values) {
			t.Fatalf("session %s has %v and is listed as %+v", s.id, s.values, listed)
		}
	}
	if len(found) != len(live) {
		t.Fatalf("%d sessions are listed, want %d", len(found), len(live))
	}
	if len(m.sessions) == 0 {
		return
	}
	s := m.sessions[m.checks%len(m.sessions)]
	got, err := i.manager.Get(m.ctx, s.id)
	if s.ended != errors.Is(err, lifecycle.ErrSessionEnded) || !s.ended && (err != nil || !maps.Equal(got.Values(), s.values)) {
		t.Fatalf("session %s, ended: %v, %v: %+v, %v", s.id, s.ended, s.values, got, err)
	}
}

// checkHooks compares the hooks that have run with those that may have.
func (m *model) checkHooks(t *rapid.T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.created) != len(m.sessions) {
		t.Fatalf("created hooks ran for %d sessions, want %d", len(m.created), len(m.sessions))
	}
	known := 0
	for _, s := range m.sessions {
		runs := m.destroyed[s.id]
		if len(runs) > 0 {
			known++
		}
		switch {
		case m.created[s.id] != 1:
			t.Fatalf("session %s: the created hook ran %d times", s.id, m.created[s.id])
		case !s.ended && len(runs) > 0:
			t.Fatalf("live session %s: destroyed hook: %v", s.id, runs)
		case s.settled && len(runs) != s.runs:
			t.Fatalf("session %s: destroyed hook after its end was finished: %v", s.id, runs)
		case !s.crashed && len(runs) > 1+s.fails:
			t.Fatalf("session %s: the destroyed hook ran %d times: %v", s.id, len(runs), runs)
		}
		for n, r := range runs {
			if r.early || r.reason != s.reason || !maps.Equal(r.values, s.values) {
				t.Fatalf("session %s: destroyed hook: %v, created before: %v; want %q, %v", s.id, r, !r.early, s.reason, s.values)
			}
			if n > 0 && r.attempt <= runs[n-1].attempt || !s.crashed && r.attempt != n+1 {
				t.Fatalf("session %s: attempts: %v", s.id, runs)
			}
		}
		for _, h := range s.holds {
			m.checkHold(t, s, h)
		}
	}
	if known != len(m.destroyed) {
		t.Fatalf("destroyed hooks ran for %d sessions, %d of them known", len(m.destroyed), known)
	}
}

// checkHold compares the runs of one handler's hook with what it may have done.
// The caller holds mu.
func (m *model) checkHold(t *rapid.T, s *modelSession, h *modelHold) {
	if len(h.runs) > 1 || h.refused && len(h.runs) > 0 {
		t.Fatalf("session %s: a handler's hook, refused: %v, ran: %v", s.id, h.refused, h.runs)
	}
	if h.done {
		return
	}
	want := s.values
	if s.flushed {
		want = h.known
	}
	for _, r := range h.runs {
		right := s.ended && r.reason == s.reason || h.shut && r.reason == lifecycle.ReasonShutdown
		if !right || r.early || !maps.Equal(r.values, want) {
			t.Fatalf("session %s: a handler's hook: %v; ended: %v, %q, %v", s.id, r, s.ended, s.reason, want)
		}
	}
}

// settle waits until all that should have happened has. Without an instance
// nothing can; while messages are lost the hooks of handlers may wait.
func (m *model) settle(t *rapid.T) {
	if len(m.instances) == 0 {
		return
	}
	for _, s := range m.sessions {
		if !s.ended || s.settled {
			continue
		}
		if !s.flushed {
			m.eventually("the end of session "+s.id+" is finished: "+string(s.reason), func() bool { return m.acked(s) })
			m.mu.Lock()
			s.runs = len(m.destroyed[s.id])
			m.mu.Unlock()
			if s.runs == 0 || !s.crashed && s.runs != 1+s.fails {
				t.Fatalf("session %s: its end is finished after %d runs of the destroyed hook", s.id, s.runs)
			}
		}
		s.settled = true
	}
	for _, s := range m.sessions {
		for _, h := range s.holds {
			if s.ended && !h.killed && !h.refused && !m.muted.Load() {
				m.eventually("a hook of session "+s.id+" on "+h.instance.name+" runs", func() bool {
					m.mu.Lock()
					defer m.mu.Unlock()
					return len(h.runs) > 0
				})
			}
		}
	}
	m.checkHooks(t)
}

// acked reports whether the hooks of an end have run and nothing waits for it.
func (m *model) acked(s *modelSession) bool {
	err := m.rdb.ZScore(m.ctx, s.bucket+"due", s.id).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		m.must(err)
	}
	return err != nil
}

// due moves a session's entry in the due-index to now, as if time had passed.
func (m *model) due(s *modelSession) {
	now, err := m.rdb.Time(m.ctx).Result()
	m.must(err)
	m.must(m.rdb.ZAddXX(m.ctx, s.bucket+"due", redis.Z{Member: s.id, Score: float64(now.UnixMilli())}).Err())
}

// finish ends everything and looks at what is left of it.
func (m *model) finish() {
	t := m.t
	m.unmute()
	if len(m.instances) == 0 {
		m.instances = append(m.instances, m.startInstance())
	}
	m.settle(t)
	for len(m.instances) > 1 {
		m.shutdown(m.instances[0])
	}
	for _, s := range m.live() {
		m.expire(s)
	}
	m.settle(t)
	m.shutdown(m.instances[0])
	m.check(t)
	// Tombstones go with the last instance that asks. For one that was killed they
	// stay for ten minutes.
	keys, err := m.rdb.Keys(m.ctx, "*").Result()
	m.must(err)
	for _, key := range keys {
		if key == modelPrefix+":buckets" || key == modelPrefix+":instances" {
			continue
		}
		left, err := m.rdb.PTTL(m.ctx, key).Result()
		m.must(err)
		tomb := slices.ContainsFunc(m.sessions, func(s *modelSession) bool {
			return strings.HasSuffix(key, ":"+s.id) && slices.ContainsFunc(s.holds, func(h *modelHold) bool { return h.killed || s.crashed })
		})
		if !tomb || left <= 0 || left > 10*time.Minute {
			t.Fatalf("left in Redis: %s, for %v", key, left)
		}
	}
	m.finished = true
}
