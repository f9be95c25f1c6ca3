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

// State tells what becomes of keyspace notifications.
type State int

// States.
const (
	Off          State = iota // not wanted
	Disconnected              // no subscription at the moment
	Standby                   // another instance listens
	On                        // the server sends them
	Missing                   // the server's setting lacks what is needed
	Refused                   // the server refuses CONFIG; they may come or not
)

// rank orders states by how much they ask for attention.
func (s State) rank() int {
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

// setting is the parameter, and needed the flags that must be in it: keyevent
// channels; expired, evicted and generic (del) events. "A" stands for all kinds.
const (
	setting = "notify-keyspace-events"
	needed  = "Exeg"
)

// configTimeout bounds the reading and setting of the server's configuration.
const configTimeout = 2 * time.Second

// eventChannels returns the channels of a database's events, sorted.
func eventChannels(db int) []string {
	prefix := fmt.Sprintf("__keyevent@%d__:", db)
	return []string{prefix + "del", prefix + "evicted", prefix + "expired"}
}

// notifications looks after the server's setting.
type notifications struct {
	rdb redis.UniversalClient
	log *slog.Logger

	mu     sync.Mutex
	state  State
	unread bool // CONFIG GET was refused: only an event can tell
	proven bool // one has
	asked  bool // ensure got no answer
}

// unanswered reports whether ensure has to be called again.
func (n *notifications) unanswered() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

func (n *notifications) get() State {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

// set notes the state and says so once when it has become worse or better.
func (n *notifications) set(s State, err error) {
	n.mu.Lock()
	old := n.state
	n.state = s
	n.mu.Unlock()
	if old == s {
		return
	}
	const without = "sessions end on time all the same, only a session deleted or evicted by others is noticed late, at its idle timeout; " +
		"set " + setting + " " + needed + " in redis.conf or the parameter group, or use WithNotifications(false)"
	switch s {
	case Refused:
		n.log.Warn("lifecycle: Redis refuses CONFIG; going on without keyspace notifications unless the operator has set them: "+without, "error", err)
	case Missing:
		n.log.Warn("lifecycle: keyspace notifications are off: " + without)
	case On:
		if old == Missing || old == Refused {
			n.log.Info("lifecycle: keyspace notifications are on again")
		}
	}
}

// heard notes that an event came: they are on, where CONFIG GET does not tell.
func (n *notifications) heard() {
	n.mu.Lock()
	tells := n.state == Refused && n.unread
	n.proven = n.proven || tells
	n.mu.Unlock()
	if tells {
		n.set(On, nil)
	}
}

// refused notes that the setting cannot be read, or read but not changed. What an
// event has proved stands, so that a new connection is no new state.
func (n *notifications) refused(err error) {
	n.mu.Lock()
	proven := n.unread && n.proven
	n.mu.Unlock()
	if !proven {
		n.set(Refused, err)
	}
}

// ensure adds what is missing to the server's setting. A restart forgets the
// setting and a failover leaves it behind, so it is called with every new
// connection, and again where no answer came.
func (n *notifications) ensure(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, configTimeout)
	defer cancel()
	flags, err := n.read(ctx)
	unread := err != nil
	if err == nil {
		if lacks := missing(flags); lacks != "" {
			err = n.rdb.ConfigSet(ctx, setting, flags+lacks).Err()
		}
	}
	answered := err == nil || isRefusal(err)
	n.mu.Lock()
	n.asked = !answered
	if answered {
		n.unread = unread
	}
	n.mu.Unlock()
	switch {
	case err == nil:
		n.set(On, nil)
	case answered:
		n.refused(err)
	}
}

// wasUnread reports whether the setting could not be read, and takes note that it
// can be now.
func (n *notifications) wasUnread() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.unread
	n.unread = false
	return was
}

// check reads the setting and reports it, without arguing with whoever changed it.
// Where it could not be read before, nobody has: what is missing is added.
func (n *notifications) check(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, configTimeout)
	defer cancel()
	flags, err := n.read(ctx)
	if err != nil {
		return
	}
	unread := n.wasUnread()
	switch {
	case missing(flags) == "":
		n.set(On, nil)
	case unread:
		n.ensure(ctx)
	case n.get() != Refused: // else it has been said, with the cause
		n.set(Missing, nil)
	}
}

func (n *notifications) read(ctx context.Context) (string, error) {
	m, err := n.rdb.ConfigGet(ctx, setting).Result()
	if err != nil {
		return "", err
	}
	flags, ok := m[setting]
	if !ok {
		return "", errNoSetting
	}
	return flags, nil
}

// missing returns the needed flags that are not in flags.
func missing(flags string) string {
	all := strings.Contains(flags, "A")
	var out strings.Builder
	for _, f := range needed {
		if !strings.ContainsRune(flags, f) && (!all || f == 'E') {
			out.WriteRune(f)
		}
	}
	return out.String()
}

// isRefusal tells an answer of the server for good from a failure to get one.
func isRefusal(err error) bool { return reply.Refuses(err) || errors.Is(err, errNoSetting) }
