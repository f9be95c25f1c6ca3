package lifecycle

import (
	"time"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// Previous is what a visitor may be told about his last session, which has ended.
type Previous struct {
	ID      string    // of the session that has ended
	Reason  Reason    // why it ended, as its destroyed hooks get it
	EndedAt time.Time // when it ended, by the Redis server's clock; zero if that is not known
}

// Previous returns how the visitor's last session has ended, so that the application can tell
// the visitor: "You were logged out, because nothing happened for 30 minutes." ok is false if
// the request has brought no token of a session that has ended, if another of its cookies names a
// live session, or if nothing is known of the ended session any more.
//
// The request must bring the session's last token, secret included. Knowing the ID is not
// enough, and a token from before a rotation gives nothing. If the middleware begins a new
// session in this request, its cookie replaces the old one: call Previous in this request, and
// keep what a later page needs, for example as a flash. With WithLazyCreation the visitor keeps
// the old cookie, and every request is told, until a session begins. If the session ends in
// this request, by DestroySession or RenewSession for example, Previous tells of that end.
//
// An end is remembered for the time of WithPreviousFor after its hooks have succeeded, and
// before that as long as they run or wait, or the end is in the dead set. With WithPreviousFor(0) ok is always false.
//
// Mostly Previous costs nothing, because what it returns has come with the session's record.
// It takes one round trip to Redis if the hooks have not succeeded yet, or if the session has
// ended in this request. If no instance has noticed the end yet, the reason is a timeout. ok is
// false if Redis cannot be reached, and after the request.
func (c *Context) Previous() (p Previous, ok bool) {
	b := c.binding
	_ = b.do(func() error {
		var e ledger.End
		var deadline int64
		if e, deadline, ok = b.ending(); ok {
			p.ID = e.ID
			p.Reason, p.EndedAt = endOf(e, deadline)
		}
		return nil
	}) // after the request, nothing is told
	return p, ok
}
