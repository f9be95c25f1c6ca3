package listener

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

const (
	// retryInterval is the pause before the setting is asked for again where the server
	// has not answered.
	retryInterval = 3 * time.Second
	// checkEvery says with which retryInterval the setting is read: every 12 seconds.
	checkEvery = 4
)

// keyEvents listens to the keyspace notifications of one server, which publishes those of
// its own keys only.
type keyEvents struct {
	server  ledger.Server
	setting notifications
	link    *link
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// newKeyEvents returns a keyEvents that is not started. address is that of the server, for
// the log.
func newKeyEvents(s ledger.Server, address string, c Config, out *outages) *keyEvents {
	channels, on := eventChannels(c.DB), c.On
	e := &keyEvents{server: s, setting: notifications{rdb: s.Client, log: s.Log(c.Log)}}
	e.link = &link{
		server:  func() (string, redis.UniversalClient) { return address, s.Client },
		outages: out,
		purpose: purpose{
			what:    "keyspace notifications",
			without: noticedLate,
			advice: "give the user +subscribe and the channels &" + strings.Join(channels, " &") +
				" (see ACL in docs/deployment.md), or use WithNotifications(false)",
		},
		wanted: channels,
		onSubscribed: func(ctx context.Context) {
			// With each connection: before it no server could be asked, and the one that
			// answers now may be another one than before.
			e.setting.enable(ctx)
			on.Subscribed()
		},
		onMessage: func(m *redis.Message) {
			if msg := c.Ledger.Parse(m); msg.Kind == ledger.LiveKeyEvent {
				e.setting.eventCame()
				on.Message(msg)
			}
		},
	}
	return e
}

func (e *keyEvents) start(ctx context.Context) {
	ctx, e.cancel = context.WithCancel(ctx)
	e.wg.Go(func() { e.link.run(ctx) })
	e.wg.Go(func() { e.checkSetting(ctx) })
}

// stop ends the goroutines that start has started, and waits for them.
func (e *keyEvents) stop() {
	e.cancel()
	e.wg.Wait()
}

// checkSetting checks the server's setting every checkEvery intervals until ctx ends.
func (e *keyEvents) checkSetting(ctx context.Context) {
	tick := time.NewTicker(retryInterval)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch {
		case !e.link.connected():
		case e.setting.unanswered():
			e.setting.enable(ctx)
		case n >= checkEvery:
			n = 0
			e.setting.check(ctx)
		}
	}
}

// state reports what has become of this server's notifications.
func (e *keyEvents) state() State {
	if s := e.setting.current(); s != Off && e.link.connected() {
		return s
	}
	return Disconnected // or the setting has not been read yet
}
