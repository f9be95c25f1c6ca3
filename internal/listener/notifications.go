package listener

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/reply"
)

// State is what has become of keyspace notifications.
type State int

// States.
const (
	Off          State = iota // the application does not want them
	Disconnected              // there is no subscription, or the server's setting is not known yet
	Standby                   // another instance listens
	On                        // the server sends what is needed
	Missing                   // the server's setting lacks what is needed
	Refused                   // the server refuses CONFIG, and no notification has come yet
)

// severity orders states by how much an operator should care.
func (s State) severity() int {
	switch s {
	case Disconnected:
		return 3
	case Refused:
		return 2
	case Missing:
		return 1
	}
	return 0
}

const (
	// parameter is the server's parameter that says which notifications it sends.
	parameter = "notify-keyspace-events"
	// needed are the flags that must be in it: E for channels named after the event; x, e
	// and g for the events expired, evicted and del (a generic one). The flag A stands for
	// all flags but K and E.
	needed = "Exeg"
)

// noticedLate is what happens without notifications, for the log.
const noticedLate = "sessions still end on time, but one that somebody deletes or Redis evicts is noticed only at its idle timeout"

// configTimeout is the longest time that reading or changing the setting may take.
const configTimeout = 2 * time.Second

// errNoSetting means that the server has answered CONFIG GET without the parameter.
var errNoSetting = errors.New("CONFIG GET notify-keyspace-events returned nothing")

// eventChannels returns the channels of a database's notifications, sorted.
func eventChannels(db int) []string {
	prefix := fmt.Sprintf("__keyevent@%d__:", db)
	return []string{prefix + "del", prefix + "evicted", prefix + "expired"}
}

// notifications looks after the setting of one server that says which notifications it
// sends. It logs each change of the state once.
type notifications struct {
	rdb redis.UniversalClient
	log *slog.Logger

	mu         sync.Mutex
	state      State
	getRefused bool // CONFIG GET was refused: only a notification can show that they are on
	eventSeen  bool // one has come while CONFIG GET was refused
	noAnswer   bool // the last enable got no answer
}

// unanswered reports whether the server did not answer the last enable, which is then to be
// called again.
func (n *notifications) unanswered() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.noAnswer
}

// current returns the state.
func (n *notifications) current() State {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

// set changes the state, and logs it if it is another one than before.
func (n *notifications) set(s State, err error) {
	n.mu.Lock()
	old, byEvent := n.state, n.getRefused
	n.state = s
	n.mu.Unlock()
	if old == s {
		return
	}
	const without = noticedLate + "; set " + parameter + " " + needed + " in redis.conf or in the parameter group, or use WithNotifications(false)"
	switch s {
	case Refused:
		n.log.Warn("lifecycle: Redis refuses CONFIG, so keyspace notifications stay off unless an operator has switched them on: "+without, "error", err)
	case Missing:
		n.log.Warn("lifecycle: keyspace notifications are off: " + without)
	case On:
		const atOnce = "; a session that somebody deletes or that Redis evicts is noticed at once"
		switch {
		case old != Missing && old != Refused:
		case byEvent:
			n.log.Info("lifecycle: a notification has arrived, so Redis sends keyspace notifications" + atOnce)
		default:
			n.log.Info("lifecycle: the setting " + parameter + " of Redis has all flags that are needed now, so Redis sends keyspace notifications" + atOnce)
		}
	}
}

// eventCame is called when a notification has come. Where the setting cannot be read, that
// shows that notifications are on.
func (n *notifications) eventCame() {
	n.mu.Lock()
	shown := n.state == Refused && n.getRefused
	n.eventSeen = n.eventSeen || shown
	n.mu.Unlock()
	if shown {
		n.set(On, nil)
	}
}

// setRefused sets the state to Refused: the setting cannot be read, or can be read but not
// changed. Where a notification has shown before that they are on, the state stays: a new
// connection changes nothing about that.
func (n *notifications) setRefused(err error) {
	n.mu.Lock()
	shown := n.getRefused && n.eventSeen
	n.mu.Unlock()
	if !shown {
		n.set(Refused, err)
	}
}

// enable adds the flags that are missing to the server's setting. A restart forgets the
// setting and a failover leaves it behind, so enable is called with every new connection,
// and again where no answer came.
func (n *notifications) enable(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, configTimeout)
	defer cancel()
	flags, err := n.readFlags(ctx)
	unreadable := err != nil
	if err == nil {
		if lacks := missingFlags(flags); lacks != "" {
			err = n.rdb.ConfigSet(ctx, parameter, flags+lacks).Err()
		}
	}
	answered := err == nil || isRefusal(err)
	n.mu.Lock()
	n.noAnswer = !answered
	if answered {
		n.getRefused = unreadable
	}
	n.mu.Unlock()
	switch {
	case err == nil:
		n.set(On, nil)
	case answered:
		n.setRefused(err)
	}
}

// clearGetRefused notes that the setting can be read now, and reports whether it could not
// be read before.
func (n *notifications) clearGetRefused() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.getRefused
	n.getRefused = false
	return was
}

// check reads the setting and updates the state. It leaves the setting as it is, because
// an operator may have switched notifications off on purpose. There is one exception:
// where CONFIG GET was refused until now, this instance has never added the flags that are
// missing, and check adds them.
func (n *notifications) check(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, configTimeout)
	defer cancel()
	flags, err := n.readFlags(ctx)
	if err != nil {
		return
	}
	firstRead := n.clearGetRefused()
	switch {
	case missingFlags(flags) == "":
		n.set(On, nil)
	case firstRead:
		n.enable(ctx)
	case n.current() != Refused: // Refused has been logged, with the cause
		n.set(Missing, nil)
	}
}

// readFlags returns the flags that the server has set.
func (n *notifications) readFlags(ctx context.Context) (string, error) {
	m, err := n.rdb.ConfigGet(ctx, parameter).Result()
	if err != nil {
		return "", err
	}
	flags, ok := m[parameter]
	if !ok {
		return "", errNoSetting
	}
	return flags, nil
}

// missingFlags returns the needed flags that are not among flags.
func missingFlags(flags string) string {
	all := strings.Contains(flags, "A")
	var out strings.Builder
	for _, f := range needed {
		if !strings.ContainsRune(flags, f) && (!all || f == 'E') {
			out.WriteRune(f)
		}
	}
	return out.String()
}

// isRefusal reports whether err is an answer of the server that will not change, and not a
// failure to get an answer.
func isRefusal(err error) bool { return reply.Refuses(err) || errors.Is(err, errNoSetting) }
