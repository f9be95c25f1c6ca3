package faults

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
)

// throughProxy puts a proxy between Redis and the instances that start from now on.
func (f *fleet) throughProxy() *proxy {
	f.t.Helper()
	p := newProxy(f.t, f.redis.Addr)
	f.setup.Redis = p.addr
	return p
}

// The network is slow, silent in one direction, resets connections or sends in small
// pieces, or the Redis process is stopped: no request hangs, and no end is lost.
func TestRow16BrokenNetwork(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]toxic{
		"slow": slow, "silent": silent, "deaf": deaf, "reset": reset, "sliced": sliced,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			p := f.throughProxy()
			f.brokenNetwork(func() { p.poison(x) }, p.heal)
		})
	}
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t)
		f.brokenNetwork(f.redis.Pause, f.redis.Resume)
	})
}

// brokenNetwork breaks and heals the network of a fleet under load.
func (f *fleet) brokenNetwork(spoil, heal func()) {
	f.t.Helper()
	f.setup.RedisTimeout = shortRedisTimeout
	ps := f.together("a", "b")
	f.crowd(50, ps...)
	stop := f.load(f.living)
	spoil()
	// Each visit gets a response, good or bad. If one hung, the client would give up after
	// patience, and the status would be 0. All five take less time than a lease has left.
	for range 5 {
		if status, body := f.newVisitor().visit(ps[0], "/"); status != http.StatusOK && status != http.StatusServiceUnavailable {
			f.t.Errorf("a visit: %d %s", status, body)
		}
	}
	heal()
	stop()
	v := f.begin(ps[0], "/")
	v.hold(ps[1])
	f.finish()
}

// Redis goes silent on the subscriber's connection: the subscriber notices it by itself.
func TestRow16HalfOpenSubscription(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	net := f.throughProxy()
	ps := f.together("a")
	net.poison(silent)
	f.awaitLogged(logSubscriptionLost, 1, ps...)
	net.heal()
	f.eventually("it has subscribed again", func() bool {
		return ps[0].stats().Notifications == lifecycle.NotificationsOn
	})
	f.finish()
}

// lostCall is a call whose reply is lost.
type lostCall struct {
	script string
	idle   time.Duration
	do     func(f *fleet, v *visitor, p *process) // what makes the instance call; nil: the end of the session does
	done   func(f *fleet) bool                    // whether Redis has executed the script
}

// The reply is lost after Redis has executed the script. The client repeats the call, and
// the script finds its work done: the call does not fail, and nothing is done twice.
func TestRow17ReplyLost(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]lostCall{
		"create": {script: "create", idle: 5 * time.Second,
			do:   func(_ *fleet, v *visitor, p *process) { v.ok(p, "/") },
			done: func(f *fleet) bool { return f.keys(liveKeys) == 1 }},
		"save": {script: "save", idle: 5 * time.Second,
			do:   func(_ *fleet, v *visitor, p *process) { v.ok(p, "/save?key=saved-value") },
			done: func(f *fleet) bool { return f.recordContains("saved-value") }},
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
			replyLost(t, call)
		})
	}
}

func replyLost(t *testing.T, call lostCall) {
	f := newFleet(t)
	net := f.throughProxy()
	f.setup.Idle, f.setup.RetryPause = call.idle, time.Second
	p := f.start("a")
	p.ask("warm")   // while replies are cut off, no new connection can be made
	f.loadScripts() // else the lost reply would only say that Redis does not know the script
	v := f.newVisitor()
	if call.do == nil { // now: the session may end at any moment once it has begun
		p.arm("before:" + call.script)
	}
	if call.script != "create" {
		v.ok(p, "/")
		f.liveKeyChanged()
	}
	if call.do != nil {
		p.arm("before:" + call.script)
	}
	acted := make(chan struct{})
	go func() {
		defer close(acted)
		if call.do != nil {
			call.do(f, v, p)
		}
	}()
	p.reached()
	net.poison(replyCut)
	p.ask("lose", "script", call.script)
	p.release("")
	f.eventually("Redis has executed the script", func() bool { return call.done(f) })
	p.ask("lost")
	net.heal()
	<-acted
	if v := f.finish(); v.sessions != 1 || v.ends != 1 || v.runs != 2 {
		t.Errorf("%d sessions, %d ends, %d runs; want 1, 1 and 2", v.sessions, v.ends, v.runs)
	}
	for _, e := range f.eventsOf(started) {
		if e.attempt != 1 {
			t.Errorf("attempt %d, want 1", e.attempt)
		}
	}
}

// recordContains reports whether there is one record, and it contains text.
func (f *fleet) recordContains(text string) bool {
	keys, err := f.keyNames("{*}:session:*")
	if err != nil || len(keys) != 1 {
		return false
	}
	return strings.Contains(f.rdb.Get(context.Background(), keys[0]).Val(), text)
}

// liveKeyChanged reports whether there is one live key, and its name is not the one that
// the last call of liveKeyChanged found.
func (f *fleet) liveKeyChanged() bool {
	keys, err := f.keyNames("{*}:" + liveKeys)
	if err != nil || len(keys) != 1 {
		return false
	}
	changed := keys[0] != f.liveKey
	f.liveKey = keys[0]
	return changed
}

// The clocks of two instances are wrong by five minutes, one ahead and one behind: no end
// comes early, and none comes late.
func TestRow18ClockSkew(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.noActiveExpiry() // else Redis's own events would hide that a clock is behind
	f.setup.Skew = 5 * time.Minute
	ahead := f.start("ahead")
	f.setup.Skew = -5 * time.Minute
	behind := f.start("behind")
	f.setup.Skew = 0
	f.knowEachOther(ahead, behind)
	f.crowd(100, ahead, behind)
	f.finish() // it does not wait for as long as the clocks are wrong
	f.allReasons(lifecycle.ReasonIdleTimeout)
}
