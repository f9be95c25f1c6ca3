package lifecycle

import "time"

// Previous is what a visitor may be told about his last session, which has ended.
type Previous struct {
	ID      string    // of the session that has ended
	Reason  Reason    // why it ended, as its destroyed hooks get it
	EndedAt time.Time // when it ended, by the Redis server's clock; zero if that is not known
}

// Previous returns how the visitor's last session has ended, so that the application can tell
// him: "You were logged out because nothing happened for 30 minutes." ok is false if the
// request brought no token of a session that has ended, and if nothing is known of it any
// more.
//
// The request must bring the session's last token, secret included. Knowing the ID is not
// enough, and a token from before a rotation gives nothing. If the middleware begins a new
// session in this request, its cookie replaces the old one: call Previous in this request, and
// keep what a later page needs, for example as a flash. With WithLazyCreation the visitor keeps
// the old cookie, and every request is told, until a session begins. After DestroySession,
// Previous tells about the session that has just ended.
//
// An end is remembered for the time of WithPreviousFor after its hooks have succeeded, and
// before that as long as they run or wait. ok is always false with WithPreviousFor(0).
//
// Mostly Previous costs nothing, because what it returns has come with the session's record.
// It takes one round trip to Redis if the hooks of the end have not finished, or if the
// session ended in this request; ok is false if Redis cannot be reached then. If no instance
// has noticed the end yet, the reason is a timeout.
func (c *Context) Previous() (p Previous, ok bool) {
	e, deadline, ok := c.binding.ending(c.Request.Context())
	if !ok {
		return Previous{}, false
	}
	reason, at := endOf(e, deadline)
	return Previous{ID: e.ID, Reason: reason, EndedAt: at}, true
}
