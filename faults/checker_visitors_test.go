package faults

import "time"

// nobodySignedOut is I10: a visitor who comes back before the idle timeout, and has not
// signed out, keeps the session that is in the cookie.
func (e *evidence) nobodySignedOut(v *verdict, x change, idle time.Duration) {
	asked, ok := e.asked[x.old]
	switch {
	case ok && !asked.After(x.at):
	case x.seen.IsZero() || !x.at.Add(clockStep).Before(x.seen.Add(idle)): // the session may have timed out
	case e.flushed[x.old]:
	case anyOverlaps(e.evicted, x.seen, x.at), anyOverlaps(e.unsaved, x.seen, x.at):
	case e.apart != nil && e.split.overlaps(x.seen, x.at):
	default:
		now := "session " + x.new
		if x.new == "" {
			now = "no session"
		}
		v.signedOut++
		v.violate("I10: a visitor with the cookie of session %s, last seen at %s, had %s at %s: %s", x.old, clock(x.seen), now, clock(x.at), x.request)
	}
}
