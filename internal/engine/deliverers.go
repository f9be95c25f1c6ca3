package engine

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// deliverers watches whether the fleet has instances that run global hooks. Where all
// instances only serve, ends wait, and nobody else would say so.
type deliverers struct {
	alive atomic.Int64 // at the last heartbeat

	// Of membership's goroutine alone.
	none time.Time // since when there is none; zero while there is one, or it is not known
	said bool      // the log says that there is none

	saidHookless bool // the log says that this instance has no hooks for those that only serve
}

// absentBeats is after how many heartbeats without a deliverer the log says so.
const absentBeats = 3

// check is called after each heartbeat that has succeeded, before its list has been read;
// interval is the pause between two heartbeats.
func (d *deliverers) check(log *slog.Logger, interval time.Duration, instances int64) {
	switch {
	case d.alive.Load() > 0:
		if d.said {
			log.Info("lifecycle: there is an instance again that runs destroyed hooks; it handles the ends that have waited")
		}
		d.none, d.said = time.Time{}, false
	case d.none.IsZero():
		d.none = time.Now()
	case !d.said && time.Since(d.none) >= absentBeats*interval:
		d.said = true
		log.Warn("lifecycle: no instance runs destroyed hooks, because all instances that are alive have WithoutDelivery; ends wait in Redis until one does; "+
			"start a worker: an instance with the same Redis and prefix, with the hooks, and without that option", "instances", instances)
	}
}

// checkHookless is called after each heartbeat that has succeeded. Where others only serve, an
// instance without hooks finishes their ends, and none of their hooks ever runs.
func (d *deliverers) checkHookless(c *Config, instances int64) {
	if c.ServesOnly || !c.Hookless || d.saidHookless || instances <= d.alive.Load() {
		return
	}
	d.saidHookless = true
	c.Log.Warn("lifecycle: this instance is a worker for instances with WithoutDelivery, but it has no destroyed hooks: the ends that it handles are finished, and no hook runs for them; "+
		"register the hooks with OnSessionDestroyed before Start or Run, or give this instance WithoutDelivery too; "+
		"if no instance is to run such hooks, because the application has closures only, all is well", "instances", instances)
}

// unknown is called after a heartbeat that has failed.
func (d *deliverers) unknown() { d.none = time.Time{} }
