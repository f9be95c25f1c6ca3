package engine

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
	"github.com/gin-lifecycle/lifecycle/internal/reply"
)

// health is what the instance last found out about itself.
type health struct {
	failing bool // the last heartbeat failed
	refused bool // since heartbeats fail, the log has said that Redis refuses the login
	full    bool // of hooks that ignore their context
}

// heartbeat is called with the outcome of every heartbeat. The log gets one line when
// heartbeats begin to fail, and one when they succeed again. It gets another line if Redis
// refuses the client's login and heartbeats failed for another reason before: after a restart
// with another password, say.
func (e *Engine) heartbeat(err error) {
	was, refused := e.health.failing, reply.LoginRefused(err)
	e.health.failing = err != nil
	switch {
	case refused && !e.health.refused:
		e.c.Log.Warn("lifecycle: Redis at "+e.c.Ledger.Address()+" refuses the user name or the password of the client; "+
			"destroyed hooks will run when Redis accepts them again; check Username and Password of the Redis client, "+
			"and SentinelUsername and SentinelPassword if it uses Sentinel", "error", err)
	case errors.Is(err, ledger.ErrBucketMismatch):
		e.c.OnMismatch(err)
	case ledger.IsOverwritten(err) && !was:
		e.c.Log.Error("lifecycle: the heartbeat fails because another program has overwritten a key of the whole fleet; "+
			"instances cannot divide the work until you delete it", "error", err)
	case err != nil && !was:
		text := "cannot reach Redis at " + e.c.Ledger.Address() + "; destroyed hooks will run when it is back"
		if answer := redis.Error(nil); errors.As(err, &answer) {
			text = "Redis at " + e.c.Ledger.Address() + " refuses the heartbeat; destroyed hooks may wait until it works again"
		}
		e.c.Log.Warn("lifecycle: "+text, "error", err)
	case err == nil && was:
		e.c.Log.Info("lifecycle: the heartbeat works again, and destroyed hooks run again")
		e.reapers.LookAtAll()
	}
	e.health.refused = err != nil && (e.health.refused || refused)
}

// ready reports whether this instance can run hooks. It cannot while as many hooks ignore
// their context as may run at the same time; then other instances look after its buckets.
func (e *Engine) ready(ctx context.Context) bool {
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
