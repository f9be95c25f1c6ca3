package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// Member is an instance on the lists of those that are alive.
type Member struct {
	Instance   string
	ServesOnly bool // it looks after no buckets, and claims no ends
}

// Heartbeat notes that an instance is alive, and returns all instances that are alive,
// itself included. An instance counts as alive for ttl after its last heartbeat.
func (l *Ledger) Heartbeat(ctx context.Context, m Member, ttl time.Duration) ([]Member, error) {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	sent := l.servers.base.local()
	lists := []string{l.keys.instances(), l.keys.serving()}
	which := 1
	if m.ServesOnly {
		which = 2
	}
	reply, err := heartbeatScript.Run(ctx, l.rdb, lists, m.Instance, ttl.Milliseconds(), which).Slice()
	if err != nil {
		l.reloadAfter(err)
		return nil, fmt.Errorf("%s: %w", strings.Join(lists, " or "), err)
	}
	if !l.Clustered() {
		l.servers.base.Sample(toInt(reply[0]), sent)
	}
	var alive []Member
	for i, list := range reply[1:] {
		names, _ := list.([]any)
		for _, name := range names {
			alive = append(alive, Member{Instance: toString(name), ServesOnly: i == 1})
		}
	}
	return alive, nil
}

// Leave takes an instance off the list of those that are alive.
func (l *Ledger) Leave(ctx context.Context, m Member) error {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	list := l.keys.instances()
	if m.ServesOnly {
		list = l.keys.serving()
	}
	return l.rdb.ZRem(ctx, list, m.Instance).Err()
}

// Unwatch takes instance off the watchers of these sessions: it no longer holds closures of
// them. A tombstone goes with its last watcher. The cost is one round trip.
func (l *Ledger) Unwatch(ctx context.Context, instance string, ids ...string) error {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	var calls []call
	at := make(map[int]int)
	for _, id := range ids {
		b := l.keys.bucket(id)
		i, ok := at[b]
		if !ok {
			i = len(calls)
			at[b] = i
			calls = append(calls, call{b, unwatchScript, []string{l.keys.due(b), l.keys.dead(b)}, []any{instance, l.remember.Milliseconds()}})
		}
		calls[i].keys = append(calls[i].keys, l.keys.session(b, id), l.keys.end(b, id), l.keys.watch(b, id))
		calls[i].args = append(calls[i].args, id)
	}
	_, err := l.runAll(ctx, calls)
	return err
}

// msgEnded followed by an ID is the message that a session has ended.
const msgEnded = "ended "

// msgShorter followed by an ID is the message of save.lua that a session has got a shorter
// idle timeout.
const msgShorter = "shorter "

// NotifyWatchers sends each watcher of an ended session, except instance self, the message
// that it has ended. The cost is one round trip. A watcher that misses the message finds
// out with Fates.
func (l *Ledger) NotifyWatchers(ctx context.Context, self string, c *Claim) error {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	pipe := l.rdb.Pipeline()
	for _, w := range c.Watchers {
		if w != self {
			pipe.Publish(ctx, l.keys.inbox(w), msgEnded+c.ID)
		}
	}
	_, err := pipe.Exec(ctx)
	return err
}

// NotifyInstances sends every instance the message that an instance has come or gone.
func (l *Ledger) NotifyInstances(ctx context.Context) error {
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	return l.rdb.Publish(ctx, l.keys.instances(), "changed").Err()
}

// Channels returns the channels that instance must listen to while it looks after these
// buckets.
func (l *Ledger) Channels(instance string, buckets []int) []string {
	channels := make([]string, 0, 2+len(buckets))
	channels = append(channels, l.keys.inbox(instance), l.keys.instances())
	for _, b := range buckets {
		channels = append(channels, l.keys.wake(b))
	}
	return channels
}

// ChannelPattern returns a pattern that matches all of these channels, as Redis's ACL rules
// take it.
func (l *Ledger) ChannelPattern() string { return l.keys.prefix + ":*" }

// Message is a message of another instance, or an event of Redis. Messages are hints:
// anybody who may publish in Redis can send them, and any of them may be lost.
type Message struct {
	Kind   MessageKind
	Bucket int    // for Wake
	ID     string // for Ended, Shortened and LiveKeyEvent
	Hint   string // for LiveKeyEvent: Expired, Evicted or Deleted; see Suspect
}

// MessageKind is the kind of a Message.
type MessageKind int

// The kinds of messages.
const (
	Other        MessageKind = iota // not for this library
	Members                         // an instance has come or gone
	Wake                            // a bucket has a new first due entry
	Ended                           // a session has ended, and this instance holds closures of it
	Shortened                       // a session has got a shorter idle timeout
	LiveKeyEvent                    // a live key has expired, or was evicted or deleted
)

// Parse reads a message that was received on one of Channels, or on a channel of keyspace
// notifications.
func (l *Ledger) Parse(m *redis.Message) Message {
	if event, ok := strings.CutPrefix(m.Channel, "__keyevent@"); ok {
		id, ok := l.keys.parseLive(m.Payload)
		if !ok {
			return Message{}
		}
		_, name, _ := strings.Cut(event, "__:")
		if name == "del" {
			name = Deleted
		}
		return Message{Kind: LiveKeyEvent, ID: id, Hint: name}
	}
	if m.Channel == l.keys.instances() {
		if id, ok := strings.CutPrefix(m.Payload, msgShorter); ok {
			if !token.ValidID(id) {
				return Message{}
			}
			return Message{Kind: Shortened, ID: id}
		}
		return Message{Kind: Members}
	}
	if b, ok := l.keys.parseWake(m.Channel); ok {
		return Message{Kind: Wake, Bucket: b}
	}
	if id, ok := strings.CutPrefix(m.Payload, msgEnded); ok {
		return Message{Kind: Ended, ID: id}
	}
	return Message{}
}
