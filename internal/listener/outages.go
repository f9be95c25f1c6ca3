package listener

import (
	"log/slog"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/reply"
)

// outages logs what becomes of the subscriptions. An outage of a server takes all of this
// instance's subscriptions to it: the log gets one line when the first one is lost, and one
// line when the last one works again, be it at another server. A subscription that Redis
// does not permit is no outage: the log says which right is missing, once for each link.
type outages struct {
	log *slog.Logger

	mu        sync.Mutex                // held while a line is written, so that the lines are in order
	lost      map[string]map[*link]bool // by server: the links that could not subscribe there since they last worked
	at        map[*link]string          // the server of each link that works
	forbidden map[*link]bool            // links that lack a right
}

func newOutages(log *slog.Logger) *outages {
	return &outages{
		log:       log,
		lost:      make(map[string]map[*link]bool),
		at:        make(map[*link]string),
		forbidden: make(map[*link]bool),
	}
}

// failed is called when link k has lost its subscription to a server, or could not subscribe.
func (o *outages) failed(k *link, server string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.at, k)
	if o.forbidden[k] {
		return // a server that is away takes nothing from a link without the right
	}
	if redis.IsPermissionError(err) {
		for _, over := range o.forget(k) {
			if o.anyAt(over) {
				o.logSubscribed(over)
			}
		}
		o.forbidden[k] = true
		o.log.Warn("lifecycle: Redis at "+server+" does not permit the client's user to subscribe to "+k.purpose.what+"; "+
			k.purpose.without+"; "+k.purpose.advice, "error", err)
		return
	}
	first := len(o.lost[server]) == 0
	if first {
		o.lost[server] = make(map[*link]bool)
	}
	o.lost[server][k] = true
	const later = "some hooks run later than usual until this instance has subscribed again; it keeps trying"
	switch {
	case !first:
	case reply.LoginRefused(err):
		o.log.Warn("lifecycle: the subscription to Redis at "+server+" is not possible, because Redis refuses the user name or the password of the client; "+
			later+"; check Username and Password of the Redis client", "error", err)
	default:
		o.log.Warn("lifecycle: the subscription to Redis at "+server+" is lost, or not possible yet; "+later, "error", err)
	}
}

// subscribed is called when link k has subscribed to a server.
func (o *outages) subscribed(k *link, server string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	late := o.forbidden[k]
	delete(o.forbidden, k)
	over := o.forget(k)
	if len(over) > 0 || late {
		o.logSubscribed(server)
	}
	o.at[k] = server
}

// stopped is called when link k has stopped because the application goes on without it.
func (o *outages) stopped(k *link) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.at, k)
	delete(o.forbidden, k)
	for _, server := range o.forget(k) {
		if o.anyAt(server) {
			o.logSubscribed(server)
		} else {
			o.log.Info("lifecycle: the lost subscription to Redis at " + server + " is not needed any more, " +
				"because the server has left the cluster or another instance listens to it")
		}
	}
}

func (o *outages) logSubscribed(server string) {
	text := "lifecycle: subscribed again to Redis at " + server
	if len(o.lost) == 0 && len(o.forbidden) == 0 {
		text += "; hooks run on time again"
	}
	o.log.Info(text)
}

// forget removes link k from all outages, and returns the servers whose outage is over with
// that. The caller holds mu.
func (o *outages) forget(k *link) (over []string) {
	for server, links := range o.lost {
		if !links[k] {
			continue
		}
		if delete(links, k); len(links) == 0 {
			delete(o.lost, server)
			over = append(over, server)
		}
	}
	return over
}

// anyAt reports whether a link works at the server. The caller holds mu.
func (o *outages) anyAt(server string) bool {
	for _, at := range o.at {
		if at == server {
			return true
		}
	}
	return false
}
