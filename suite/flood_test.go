package suite_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// flood publishes messages as fast as one client can, until stop is called. n returns the
// number of messages so far. over is closed if the flood ends by itself, after an error.
func flood(t *testing.T, addr string, message func() (channel, payload string)) (n func() int64, over <-chan struct{}, stop func()) {
	t.Helper()
	rdb := redistest.Client(t, addr)
	var sent atomic.Int64
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-quit:
				return
			default:
			}
			pipe := rdb.Pipeline()
			for range 1000 {
				channel, payload := message()
				pipe.Publish(t.Context(), channel, payload)
			}
			if _, err := pipe.Exec(t.Context()); err != nil {
				t.Errorf("the flood has ended: %v", err)
				return
			}
			sent.Add(1000)
		}
	}()
	return sent.Load, ended, func() {
		close(quit)
		<-ended
	}
}

// forger makes messages that look as if Redis or other instances had sent them.
type forger struct {
	prefix  string
	buckets int
	kinds   []string // events, "wake", "instance" or "instances"
	a       *app     // the instance that reads the messages
	held    string   // a session for which this instance has a closure
	n       int
}

// message returns the next message. The kinds take turns.
func (f *forger) message() (channel, payload string) {
	f.n++
	switch kind := f.kinds[f.n%len(f.kinds)]; kind {
	case "wake": // to the instance that looks after a bucket
		return fmt.Sprintf("%s:{%d}:wake", f.prefix, f.n/len(f.kinds)%f.buckets), ""
	case "instance": // to the instance that has closures
		return f.prefix + ":instance:" + instance(f.a.m), "ended " + f.held
	case "instances": // to all instances
		return f.prefix + ":instances", "changed"
	default: // a notification of Redis
		return "__keyevent@0__:" + kind, f.liveKey()
	}
}

// liveKey returns the live key of a session that does not exist. The instance ignores a
// key that no session could have: the key must have a short proof, and the bucket of its
// ID. Package token is imported for these two, and for nothing else.
func (f *forger) liveKey() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	id := base64.RawURLEncoding.EncodeToString(b[:])
	proof := token.ProofText(strings.Repeat("x", token.ProofLength))
	return fmt.Sprintf("%s:{%d}:live:%s:%s", f.prefix, token.Bucket(id, f.buckets), id, proof)
}

// A program that may publish sends as many messages as it can. Sessions still end by
// their timeout, and their hooks run, while the messages come in.
func TestEndsDuringAFloodOfMessages(t *testing.T) {
	for name, kinds := range map[string][]string{
		"deleted":               {"del"},
		"expired":               {"expired"},
		"evicted":               {"evicted"},
		"messages of instances": {"wake", "instance", "instances"},
		"everything":            {"del", "expired", "evicted", "wake", "instance", "instances"},
	} {
		t.Run(name, func(t *testing.T) {
			const buckets = 8
			// With its usual limit Redis disconnects a subscriber that reads too slowly, and the
			// instance would have a pause.
			server := startServer(t, "--client-output-buffer-limit", "pubsub", "1gb", "0", "0")
			a := newApp(t, onServer(t, server), redistest.Prefix(), lifecycle.WithBuckets(buckets), lifecycle.WithIdleTimeout(500*time.Millisecond))
			a.hold(nothing)
			a.remember()
			a.start().listens()
			// The instance asks Redis for this session whenever a message says that it has ended.
			held, v := a.begin()
			a.ok(v, "/remember")
			a.ok(v, "/hold")
			forged := &forger{prefix: a.prefix, buckets: buckets, kinds: kinds, a: a, held: held}
			sent, over, stop := flood(t, server.Addr, forged.message)
			defer stop()
			redistest.Eventually(t, "100,000 messages are sent", func() bool { return sent() > 100_000 })
			want := make(map[string]bool)
			for range 30 {
				id, _ := a.begin()
				want[id] = true
			}
			for len(want) > 0 {
				s := a.nextDestroyed()
				if !want[s.ID] || s.Reason != lifecycle.ReasonIdleTimeout {
					t.Errorf("ended: session %s, %s", s.ID, s.Reason)
				}
				delete(want, s.ID)
			}
			select {
			case <-over:
				t.Error("the flood ended before the sessions did")
			default:
			}
		})
	}
}
