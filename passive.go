package lifecycle

import (
	"reflect"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/gin-gonic/gin"
)

// Passive makes a route, or a group of routes, read the session without prolonging it, for
// polls and probes: the page asks every few seconds how much time is left, and must not be the
// reason why the session never ends.
//
//	router.GET("/time-left", lifecycle.Passive(), handler)
//
// The handler has the session, with its values. Session.ExpiresAt says when it ends. A Save,
// which is possible, leaves that time as it is. No session begins in such a request: what needs
// one returns ErrSessionWithheld if there is none. It takes one round trip, as any request.
//
// Passive may stand before or after the lifecycle middleware; what counts is that it is among
// the handlers of the route. It applies to all managers.
func Passive() gin.HandlerFunc {
	passiveRoutes.Store(true)
	return passive
}

// passive does nothing. The middleware looks for its name among the handlers of the route,
// because it runs before the handlers of the route do.
func passive(*gin.Context) {}

// passiveRoutes says that Passive was called in this process. It only saves the look.
var passiveRoutes atomic.Bool

var passiveName = runtime.FuncForPC(reflect.ValueOf(passive).Pointer()).Name()

func isPassive(c *gin.Context) bool {
	return passiveRoutes.Load() && slices.Contains(c.HandlerNames(), passiveName)
}
