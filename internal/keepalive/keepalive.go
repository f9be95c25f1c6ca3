package keepalive

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/record"
)

// Ledger is what a Keeper needs of a *ledger.Ledger.
type Ledger interface {
	ServerOf(id string) string
	Touch(ctx context.Context, all []ledger.Touching) []ledger.Touched
	Record(ctx context.Context, id string) ([]byte, error)
}

// Keeper is safe for concurrent use. Make it with New.
type Keeper struct {
	ledger Ledger
	signal chan struct{}

	mu      sync.Mutex
	held    map[string]*session
	due     queue
	busy    map[string][]*session // by server: due sessions that wait while others of it are prolonged
	running *Running              // the first of those that run
}

// session is a session that is held, or was until a moment ago.
type session struct {
	ledger.Touching
	holders int       // with none it is forgotten when it is to be prolonged
	next    time.Time // when it is to be prolonged
	last    time.Time // when that was tried last
	at      int       // its index in the queue; -1 while it is being prolonged
	changed bool      // its timeouts have changed while it was being prolonged
}

// New returns a keeper that does not run yet.
func New(l Ledger) *Keeper {
	return &Keeper{ledger: l, signal: make(chan struct{}, 1), held: make(map[string]*session), busy: make(map[string][]*session)}
}

// batch is how many sessions are prolonged in one round trip.
const batch = 256

// retry is the longest pause before a session is tried again that Redis did not answer for.
const retry = time.Second

// third returns how long after a request a session with this idle timeout is to be prolonged.
func third(idle time.Duration) time.Duration { return max(idle/3, time.Millisecond) }

// Hold keeps a live session alive until release is called, or until it has ended. It is
// prolonged for the first time at once, unless that was done less than a third of its idle
// timeout ago. A second call of release does nothing.
func (k *Keeper) Hold(x ledger.Touching) (release func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.hold(x)
	return sync.OnceFunc(func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		s.holders--
	})
}

// hold adds a holder. The caller holds mu.
func (k *Keeper) hold(x ledger.Touching) *session {
	s := k.held[x.ID]
	if s == nil {
		s = &session{Touching: x, next: time.Now()}
		k.held[x.ID] = s
		heap.Push(&k.due, s)
		k.wake()
	} else {
		shorter := x.Timeouts.Idle < s.Timeouts.Idle
		if s.holders == 0 && s.at >= 0 {
			s.Touching = x // newer
		}
		if shorter {
			k.hasten(s)
		}
	}
	s.holders++
	return s
}

// Shortened says that a session may have got a shorter idle timeout. If it is held, or a
// handler runs for it, it is prolonged at once: a third of the old timeout may be too late.
// Anybody may call it for any session, and often.
func (k *Keeper) Shortened(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for r := k.running; r != nil; r = r.next {
		if r.x.ID == id && r.held == nil {
			r.held = k.hold(r.x)
		}
	}
	if s := k.held[id]; s != nil {
		k.hasten(s)
	}
}

// hastened is the shortest pause between two calls of Redis for one session.
const hastened = 10 * time.Millisecond

// hasten has a session prolonged soon. The caller holds mu.
func (k *Keeper) hasten(s *session) {
	if s.at < 0 {
		s.changed = true // again sees it
		return
	}
	if soon := s.last.Add(hastened); soon.Before(s.next) {
		s.next = soon
		heap.Fix(&k.due, s.at)
		k.wake()
	}
}

// drop forgets a session. The caller holds mu.
func (k *Keeper) drop(s *session) {
	if k.held[s.ID] == s {
		delete(k.held, s.ID)
	}
	if s.at >= 0 {
		heap.Remove(&k.due, s.at)
	}
}

func (k *Keeper) wake() {
	select {
	case k.signal <- struct{}{}:
	default:
	}
}

// Run prolongs the sessions that are held until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var servers sync.WaitGroup
	defer servers.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-k.signal:
		}
		for server, due := range k.takeDue() {
			servers.Go(func() { k.serve(ctx, server, due) })
		}
		timer.Reset(k.untilNext())
	}
}

// takeDue takes the sessions out of the queue that are to be prolonged now. It returns those of
// servers that are not busy, which are busy from now on. Those of the others wait.
func (k *Keeper) takeDue() map[string][]*session {
	k.mu.Lock()
	defer k.mu.Unlock()
	free := make(map[string][]*session)
	for now := time.Now(); len(k.due) > 0 && !k.due[0].next.After(now); {
		s := heap.Pop(&k.due).(*session)
		server := k.ledger.ServerOf(s.ID)
		if waiting, busy := k.busy[server]; busy {
			k.busy[server] = append(waiting, s)
		} else {
			free[server] = append(free[server], s)
		}
	}
	for server := range free {
		k.busy[server] = nil
	}
	return free
}

// serve prolongs due sessions of one server until none of them waits. Each server has its own
// goroutine: one that does not answer must not delay the sessions of the others.
func (k *Keeper) serve(ctx context.Context, server string, due []*session) {
	for len(due) > 0 && ctx.Err() == nil {
		n := min(len(due), batch)
		if some := k.stillHeld(due[:n]); len(some) > 0 {
			k.prolong(ctx, some)
			k.wake()
		}
		if due = due[n:]; len(due) == 0 {
			due = k.takeWaiting(server)
		}
	}
}

// stillHeld returns those of the due sessions that are held, and drops the others.
func (k *Keeper) stillHeld(all []*session) (held []*session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range all {
		if s.holders == 0 {
			k.drop(s)
			continue
		}
		s.last = time.Now()
		held = append(held, s)
	}
	return held
}

// takeWaiting takes the due sessions that have waited for a server. If there are none, the
// server is not busy any more.
func (k *Keeper) takeWaiting(server string) []*session {
	k.mu.Lock()
	defer k.mu.Unlock()
	waiting := k.busy[server]
	if k.busy[server] = nil; len(waiting) == 0 {
		delete(k.busy, server)
	}
	return waiting
}

// idlePause is the pause while no session is held.
const idlePause = time.Hour

func (k *Keeper) untilNext() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.due) == 0 {
		return idlePause
	}
	return time.Until(k.due[0].next)
}

// prolong prolongs sessions and puts those that are live back into the queue.
func (k *Keeper) prolong(ctx context.Context, all []*session) {
	k.touch(ctx, all, func(s *session) {
		// Its secret or its timeouts may be others by now.
		if k.reread(ctx, s) {
			// Then again: it is gone only if its record says nothing new.
			k.touch(ctx, []*session{s}, func(s *session) { k.again(s, hastened) })
		}
	})
}

// touch prolongs sessions once. It calls otherwise for those that are not live as they are
// known.
func (k *Keeper) touch(ctx context.Context, all []*session, otherwise func(*session)) {
	touching := make([]ledger.Touching, len(all))
	for i, s := range all {
		touching[i] = s.Touching
	}
	for i, x := range k.ledger.Touch(ctx, touching) {
		switch s := all[i]; {
		case x.Err != nil:
			k.again(s, min(third(third(s.Timeouts.Idle)), retry))
		case x.Live:
			k.again(s, third(s.Timeouts.Idle))
		default:
			otherwise(s)
		}
	}
}

// reread takes over what the record says of a session. It returns false if that is nothing
// new, or Redis has not answered.
func (k *Keeper) reread(ctx context.Context, s *session) bool {
	packed, err := k.ledger.Record(ctx, s.ID)
	if err != nil {
		k.again(s, min(third(third(s.Timeouts.Idle)), retry))
		return false
	}
	rec, err := record.Unpack(packed)
	if err != nil || rec.Proof == s.Proof {
		k.gone(s)
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s.Proof, s.Timeouts = rec.Proof, rec.Timeouts
	return true
}

// again puts a session back into the queue, whether it is still held or not: what holds it next
// needs no command until then.
func (k *Keeper) again(s *session, after time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.changed {
		s.changed, after = false, min(after, hastened)
	}
	s.next = time.Now().Add(after)
	heap.Push(&k.due, s)
}

// gone forgets a session that has ended.
func (k *Keeper) gone(s *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(s)
}

// queue is a heap of sessions, the first to be prolonged in front.
type queue []*session

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

func (q *queue) Push(x any) {
	s := x.(*session)
	s.at = len(*q)
	*q = append(*q, s)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	s.at = -1
	return s
}
