package suite_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// flood publishes as fast as one client can, until stop is called. n returns how many
// messages there were so far; over is closed where it has ended by itself.
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

// Whoever may publish can say as much as he likes: sessions end by their timeout all
// the same, and their hooks run, while it goes on.
func TestEndsDuringAFloodOfMessages(t *testing.T) {
	const buckets = 8
	p := prefix()
	proof := token.ProofText(strings.Repeat("x", token.ProofLength))
	forged := func() string { // the live key of a session that there is not
		var b [16]byte
		_, _ = rand.Read(b[:])
		id := base64.RawURLEncoding.EncodeToString(b[:])
		return fmt.Sprintf("%s:{%d}:live:%s:%s", p, token.Bucket(id, buckets), id, proof)
	}
	event := func(name string) func(*app, string) (string, string) {
		return func(*app, string) (string, string) { return "__keyevent@0__:" + name, forged() }
	}
	deleted, expired, evicted := event("del"), event("expired"), event("evicted")
	bucket := 0
	wake := func(*app, string) (string, string) {
		bucket = (bucket + 1) % buckets
		return fmt.Sprintf("%s:{%d}:wake", p, bucket), ""
	}
	inbox := func(a *app, held string) (string, string) { return p + ":instance:" + instance(a.m), "ended " + held }
	members := func(*app, string) (string, string) { return p + ":instances", "changed" }

	for name, kinds := range map[string][]func(a *app, held string) (channel, payload string){
		"deleted":               {deleted},
		"expired":               {expired},
		"evicted":               {evicted},
		"messages of instances": {wake, inbox, members},
		"everything":            {deleted, expired, evicted, wake, inbox, members},
	} {
		t.Run(name, func(t *testing.T) {
			// Nobody is cut off, however much there is to read: that would be a pause.
			server := startServer(t, "--client-output-buffer-limit", "pubsub", "1gb", "0", "0")
			d := onServer(t, server)
			a := newApp(t, d, p, lifecycle.WithBuckets(buckets), lifecycle.WithIdleTimeout(500*time.Millisecond))
			a.hold(func(context.Context, *lifecycle.Session) error { return nil })
			a.get("/stay", func(c *lifecycle.Context) {
				s := sessions.Default(c.Context)
				s.Options(sessions.Options{Path: "/", MaxAge: 3600})
				a.answer(c, s.Save())
			})
			a.start().listens()
			held, v := a.begin() // which is asked for whenever somebody says that it has ended
			a.ok(v, "/stay")
			a.ok(v, "/hold")
			kind := 0
			sent, over, stop := flood(t, server.Addr, func() (string, string) {
				kind = (kind + 1) % len(kinds)
				return kinds[kind](a, held)
			})
			defer stop()
			eventually(t, "a flood", func() bool { return sent() > 100_000 })
			want := make(map[string]bool)
			for range 30 {
				id, _ := a.begin()
				want[id] = true
			}
			for len(want) > 0 {
				s := a.nextDestroyed()
				if !want[s.ID] || s.Reason != lifecycle.ReasonIdleTimeout {
					t.Errorf("session %s: %s", s.ID, s.Reason)
				}
				delete(want, s.ID)
			}
			select {
			case <-over:
				t.Error("the flood was over before")
			default:
			}
		})
	}
}
