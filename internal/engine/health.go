package engine

import (
	"context"
	"errors"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/reply"
)

// health is what the instance last found out about itself.
type health struct {
	failing bool // the last heartbeat failed
	full    bool // of hooks that ignore their context

	// What the log has said since heartbeats fail.
	saidLogin       bool // Redis refuses the client's login
	saidOverwritten bool // a key of the whole fleet was overwritten
}

// heartbeat is called with the outcome of every heartbeat. The log gets one line when
// heartbeats begin to fail, and one when they succeed again. It gets another line if it
// turns out meanwhile that somebody must put something right: the client's login, after a
// restart with another password, say, or a key that was overwritten.
func (e *Engine) heartbeat(err error) {
	h := &e.health
	if err == nil {
		if h.failing {
			e.c.Log.Info("lifecycle: the heartbeat works again, and destroyed hooks run again")
			e.reapers.LookAtAll()
		}
		h.failing, h.saidLogin, h.saidOverwritten = false, false, false
		e.deliverers.checkHookless(&e.c, e.instances.Load())
		e.deliverers.check(e.c.Log, e.c.Timing.Heartbeat, e.instances.Load())
		return
	}
	e.deliverers.unknown()
	first := !h.failing
	h.failing = true
	switch {
	case reply.LoginRefused(err):
		if !h.saidLogin {
			e.c.Log.Warn("lifecycle: Redis at "+e.c.Ledger.Address()+" refuses the user name or the password of the client; "+
				"destroyed hooks will run when Redis accepts them again; check Username and Password of the Redis client, "+
				"and SentinelUsername and SentinelPassword if it uses Sentinel", "error", err)
		}
		h.saidLogin = true
	case errors.Is(err, ledger.ErrBucketMismatch):
		e.c.OnMismatch(err)
	case ledger.IsOverwritten(err):
		if !h.saidOverwritten {
			e.c.Log.Error("lifecycle: the heartbeat fails because another program has overwritten a key of the whole fleet; "+
				"instances cannot divide the work until you delete it", "error", err)
		}
		h.saidOverwritten = true
	case first && reply.IsReply(err):
		e.c.Log.Warn("lifecycle: Redis at "+e.c.Ledger.Address()+" refuses the heartbeat; destroyed hooks may wait until it works again; "+
			"the error says what Redis lacks", "error", err)
	case first:
		e.c.Log.Warn("lifecycle: cannot reach Redis at "+e.c.Ledger.Address()+"; destroyed hooks will run when it is back", "error", err)
	}
}

// ready reports whether this instance can run hooks. It cannot while as many hooks ignore
// their context as may run at the same time; then other instances look after its buckets.
// An instance that only serves has none to give up.
func (e *Engine) ready(ctx context.Context) bool {
	if e.c.ServesOnly {
		return true
	}
	hung := e.c.Hooks.Hung()
	was := e.health.full
	e.health.full = hung >= e.c.Concurrency
	switch {
	case e.health.full && !was:
		e.c.Log.Error("lifecycle: too many hooks ignore their context and do not return; this instance handles no ended sessions until some hooks return, "+
			"and other instances take over; let the hooks return when their context ends", "hung", hung)
	case !e.health.full && was:
		e.c.Log.Info("lifecycle: hung hooks have returned; this instance handles ended sessions again")
	}
	if e.health.full {
		e.unattended.read(ctx, e.c.Ledger)
	}
	return !e.health.full
}
