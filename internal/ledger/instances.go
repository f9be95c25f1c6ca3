package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Heartbeat notes that instance is alive and returns all that are, itself
// included. A heartbeat counts for ttl.
func (l *Ledger) Heartbeat(ctx context.Context, instance string, ttl time.Duration) ([]string, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	sent := l.shards.base.local()
	reply, err := heartbeatScript.Run(ctx, l.rdb, []string{l.keys.instances()}, instance, ttl.Milliseconds()).Slice()
	if err != nil {
		l.noticed(err)
		return nil, fmt.Errorf("%s: %w", l.keys.instances(), err)
	}
	if !l.Clustered() {
		l.shards.base.Sample(toInt(reply[0]), sent)
	}
	alive := make([]string, 0, len(reply)-1)
	for _, v := range reply[1:] {
		alive = append(alive, toString(v))
	}
	return alive, nil
}

// Leave forgets the instance.
func (l *Ledger) Leave(ctx context.Context, instance string) error {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	return l.rdb.ZRem(ctx, l.keys.instances(), instance).Err()
}

// Unwatch notes that instance no longer holds closures of these sessions, in
// one round trip.
func (l *Ledger) Unwatch(ctx context.Context, instance string, ids ...string) error {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var calls []call
	at := make(map[int]int)
	for _, id := range ids {
		b := l.keys.bucket(id)
		i, ok := at[b]
		if !ok {
			i = len(calls)
			at[b] = i
			calls = append(calls, call{b, unwatchScript, []string{l.keys.due(b), l.keys.dead(b)}, []any{instance}})
		}
		calls[i].keys = append(calls[i].keys, l.keys.session(b, id), l.keys.end(b, id), l.keys.watch(b, id))
		calls[i].args = append(calls[i].args, id)
	}
	_, err := l.runAll(ctx, calls)
	return err
}

// msgEnded, and the ID behind it, tells an instance in its inbox that a session has
// ended. Messages are hints: none is needed for a promise.
const msgEnded = "ended "

// NotifyWatchers tells the other watchers of an ended session, in one round trip.
func (l *Ledger) NotifyWatchers(ctx context.Context, self string, c *Claim) error {
	ctx, cancel := l.bound(ctx)
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

// NotifyInstances tells every instance that the set of instances has changed.
func (l *Ledger) NotifyInstances(ctx context.Context) error {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	return l.rdb.Publish(ctx, l.keys.instances(), "changed").Err()
}

// Channels returns the channels that instance listens to as the keeper of
// these buckets.
func (l *Ledger) Channels(instance string, buckets []int) []string {
	channels := make([]string, 0, 2+len(buckets))
	channels = append(channels, l.keys.inbox(instance), l.keys.instances())
	for _, b := range buckets {
		channels = append(channels, l.keys.wake(b))
	}
	return channels
}

// Message is what was heard on a channel.
type Message struct {
	Kind   MessageKind
	Bucket int    // of Wake
	ID     string // of Ended and LiveKey
	Hint   string // of LiveKey: Expired, Evicted or Deleted
}

// MessageKind tells messages apart.
type MessageKind int

// Kinds of messages.
const (
	Other        MessageKind = iota
	Members                  // the set of instances has changed
	Wake                     // a bucket has a new first entry
	Ended                    // a watched session has ended
	LiveKeyEvent             // Redis said something of a live key
)

// Parse reads a message.
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
