package listener

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle/internal/ledger"
)

// checkInterval is how often a server's notification setting is read again, and
// askInterval how often it is asked for that did not answer.
const (
	checkInterval = 10 * time.Second
	askInterval   = 3 * time.Second
)

// events listens to the keyspace notifications of one server: each tells of its
// own keys only.
type events struct {
	shard  ledger.Shard
	notify notifications
	link   *link
	end    context.CancelFunc
	wg     sync.WaitGroup
}

// newEvents returns what listens to a server's notifications once it is started.
func newEvents(s ledger.Shard, db int, log *slog.Logger, on Events, parse func(*redis.Message) ledger.Message) *events {
	e := &events{shard: s, notify: notifications{rdb: s.Client, log: log}}
	e.link = &link{
		server: func() redis.UniversalClient { return s.Client },
		log:    log,
		want:   eventChannels(db),
		opened: func(ctx context.Context) {
			// Only now: while no server answered, none could be asked, and the one
			// that answers may be another than before.
			e.notify.ensure(ctx)
			on.Subscribed()
		},
		heard: func(m *redis.Message) {
			if msg := parse(m); msg.Kind == ledger.LiveKeyEvent {
				e.notify.heard()
				on.Message(msg)
			}
		},
	}
	return e
}

func (e *events) start(ctx context.Context) {
	ctx, e.end = context.WithCancel(ctx)
	e.wg.Go(func() { e.link.run(ctx) })
	e.wg.Go(func() { e.tick(ctx) })
}

// stop ends what start has begun, and waits for it.
func (e *events) stop() {
	e.end()
	e.wg.Wait()
}

// tick checks the server's setting now and then.
func (e *events) tick(ctx context.Context) {
	ask := time.NewTicker(askInterval)
	defer ask.Stop()
	checked := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ask.C:
		}
		switch {
		case !e.link.connected():
		case e.notify.unanswered():
			e.notify.ensure(ctx)
		case time.Since(checked) >= checkInterval:
			checked = time.Now()
			e.notify.check(ctx)
		}
	}
}

// state tells what becomes of this server's notifications.
func (e *events) state() State {
	if s := e.notify.get(); s != Off && e.link.connected() {
		return s
	}
	return Disconnected // or not asked yet
}
