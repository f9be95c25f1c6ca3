package faults

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// The network is slow, silent in one direction, resetting or slicing, or Redis
// itself does not run: no request hangs, no end is lost.
func TestRow16BrokenNetwork(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]toxic{
		"slow": slow, "silent": silent, "deaf": deaf, "reset": reset, "sliced": sliced,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, redistest.Start(t))
			p := newProxy(t, f.redis.Addr)
			f.setup.Redis = p.addr
			f.brokenNetwork(func() { p.poison(x) }, p.heal)
		})
	}
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, redistest.Start(t))
		f.brokenNetwork(f.redis.Pause, f.redis.Resume)
	})
}

func (f *fleet) brokenNetwork(spoil, heal func()) {
	f.t.Helper()
	f.setup.RedisTimeout = time.Second
	ps := f.together("a", "b")
	f.crowd(50, ps...)
	stop := f.load(f.living)
	spoil()
	// Each is answered, one way or the other: a hang would exceed the client's
	// patience and give no status. All of them take less than what is left of a lease.
	for range 5 {
		if status, body := (&visitor{f: f}).visit(ps[0], "/"); status != http.StatusOK && status != http.StatusServiceUnavailable {
			f.t.Errorf("a visit: %d %s", status, body)
		}
	}
	heal()
	stop()
	v := f.begin(ps[0], "/")
	v.hold(ps[1])
	f.finish()
}

// A connection on which Redis went silent is noticed by the subscriber itself.
func TestRow16HalfOpenSubscription(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	p := newProxy(t, f.redis.Addr)
	f.setup.Redis = p.addr
	ps := f.together("a")
	p.poison(silent)
	f.eventually("the subscriber notices", func() bool { return ps[0].logged("subscription lost") })
	p.heal()
	f.eventually("it subscribes again", func() bool {
		return ps[0].stats().Notifications == lifecycle.NotificationsOn
	})
	f.finish()
}

// The reply is lost after Redis has done the work: the repeated call finds it
// done, and neither fails nor does it twice.
func TestRow17ReplyLost(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]struct {
		script string
		idle   time.Duration
		do     func(f *fleet, v *visitor, p *process) // nil: the session just ends
		done   func(f *fleet) bool                    // whether Redis has done the work
	}{
		"create": {script: "create", idle: 5 * time.Second,
			do:   func(_ *fleet, v *visitor, p *process) { v.ok(p, "/") },
			done: func(f *fleet) bool { return f.keys("live:*") == 1 }},
		"save": {script: "save", idle: 5 * time.Second,
			do:   func(_ *fleet, v *visitor, p *process) { v.ok(p, "/save?key=saved-value") },
			done: func(f *fleet) bool { return f.recordHolds("saved-value") }},
		"rotate": {script: "rotate", idle: 5 * time.Second,
			do: func(f *fleet, v *visitor, p *process) {
				id := v.id
				v.ok(p, "/rotate")
				if got := v.ok(p, "/"); got != id {
					f.t.Errorf("rotated: session %s, want %s", got, id)
				}
			},
			done: func(f *fleet) bool { return f.liveKeyChanged() }},
		"end": {script: "end", idle: 5 * time.Second,
			do:   func(_ *fleet, v *visitor, p *process) { v.ok(p, "/destroy") },
			done: func(f *fleet) bool { return f.keys("end:*") == 1 }},
		"claim": {script: "look", idle: 500 * time.Millisecond,
			done: func(f *fleet) bool { return f.keys("end:*") == 1 }},
		"ack": {script: "ack", idle: 500 * time.Millisecond,
			done: func(f *fleet) bool { return f.keys("session:*") == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, redistest.Start(t))
			net := newProxy(t, f.redis.Addr)
			f.setup.Redis = net.addr
			f.setup.Idle, f.setup.RetryPause = act.idle, time.Second
			p := f.start("a")
			p.ask("warm")   // with the replies cut, no connection can be made
			f.loadScripts() // else the first reply tells only that Redis does not know them
			v := &visitor{f: f}
			if act.do == nil { // before the session, which may end at any moment
				p.arm("before:" + act.script)
			}
			if name != "create" {
				v.ok(p, "/")
				f.liveKeyChanged()
			}
			if act.do != nil {
				p.arm("before:" + act.script)
			}
			acted := make(chan struct{})
			go func() {
				defer close(acted)
				if act.do != nil {
					act.do(f, v, p)
				}
			}()
			p.reached()
			net.poison(replyCut)
			p.ask("lose", "script", act.script)
			p.release("")
			f.eventually("Redis has done it", func() bool { return act.done(f) })
			p.ask("lost")
			net.heal()
			<-acted
			if v := f.finish(); v.sessions != 1 || v.ends != 1 || v.runs != 2 {
				t.Errorf("%d sessions, %d ends, %d runs; want 1, 1 and 2", v.sessions, v.ends, v.runs)
			}
			for _, e := range f.events() {
				if e.kind == started && e.attempt != 1 {
					t.Errorf("attempt %d", e.attempt)
				}
			}
		})
	}
}

// recordHolds reports whether the only record holds text.
func (f *fleet) recordHolds(text string) bool {
	keys, err := f.keyNames("{*}:session:*")
	if err != nil || len(keys) != 1 {
		return false
	}
	return strings.Contains(f.rdb.Get(context.Background(), keys[0]).Val(), text)
}

// liveKeyChanged reports whether the only live key has another name than at the
// last call.
func (f *fleet) liveKeyChanged() bool {
	keys, err := f.keyNames("{*}:live:*")
	if err != nil || len(keys) != 1 {
		return false
	}
	changed := keys[0] != f.liveKey
	f.liveKey = keys[0]
	return changed
}

// The clocks of two instances are wrong by five minutes, one each way: no end
// comes early, and none late.
func TestRow18ClockSkew(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t))
	// Else a clock that is behind would be made up for by Redis's own events.
	if err := f.rdb.Do(t.Context(), "debug", "set-active-expire", "0").Err(); err != nil {
		t.Fatal(err)
	}
	f.setup.Skew = 5 * time.Minute
	ahead := f.start("ahead")
	f.setup.Skew = -5 * time.Minute
	behind := f.start("behind")
	f.setup.Skew = 0
	f.knowEachOther(ahead, behind)
	f.crowd(100, ahead, behind)
	// finish waits for patience, which is much less than the skew.
	f.finish()
	for _, e := range f.events() {
		if e.kind == started && e.reason != string(lifecycle.ReasonIdleTimeout) {
			t.Errorf("session %s ended with reason %s", e.id, e.reason)
		}
	}
}
