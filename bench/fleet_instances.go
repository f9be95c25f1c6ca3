package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// fleet is the instances of one application. They are in this process, each with a client and a
// manager of its own. The first one serves requests.
type fleet struct {
	b        *bench
	p        *population
	clock    serverClock
	managers []*lifecycle.Manager
	clients  []redis.UniversalClient
	engine   *gin.Engine

	beat  calls // what one heartbeat costs
	beats *beatCounting
}

// startFleet starts n instances and waits until each knows all of them.
func (b *bench) startFleet(ctx context.Context, n int, beat calls) (f *fleet, err error) {
	const prefix = "fleet"
	if err := b.servers.flush(ctx); err != nil {
		return nil, err
	}
	f = &fleet{b: b, beat: beat, beats: &beatCounting{key: prefix + ":instances"}, engine: gin.New()}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.stop(ctx))
		}
	}()
	if f.clock, err = readClock(ctx, b.servers.admins[0]); err != nil {
		return nil, err
	}
	if f.p, err = newPopulation(ctx, b.servers, prefix, lifecycle.DefaultBuckets); err != nil {
		return nil, err
	}
	f.clients = append(f.clients, f.p.rdb)
	for range n {
		rdb := b.servers.clientWith(clientOptions{hook: f.beats})
		f.clients = append(f.clients, rdb)
		store, err := lifecycle.NewStore(rdb, lifecycle.WithPrefix(prefix), lifecycle.WithLogger(b.log))
		if err != nil {
			return nil, err
		}
		m, err := lifecycle.New(store)
		if err != nil {
			return nil, err
		}
		m.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { return nil })
		if err := m.Start(ctx); err != nil {
			return nil, err
		}
		f.managers = append(f.managers, m)
	}
	f.engine.Use(f.managers[0].Middleware())
	f.engine.GET("/", func(g *gin.Context) {
		c := lifecycle.From(g)
		_, err := c.OnSessionDestroyed(func(context.Context, *lifecycle.Session) error { return nil })
		answer(g, c.Session().ID, err)
	})
	return f, f.settle(ctx)
}

// settle waits until each instance knows all of them, and two seconds longer: so the messages
// about the last one's start are not counted.
func (f *fleet) settle(ctx context.Context) error {
	err := until(ctx, settleTime, "the instances do not know each other", func() (bool, error) {
		leaders := 0
		for _, m := range f.managers {
			s := m.Stats()
			if s.Instances != len(f.managers) {
				return false, nil
			}
			switch s.Notifications {
			case lifecycle.NotificationsOn:
				leaders++
			case lifecycle.NotificationsStandby:
			default:
				return false, nil
			}
		}
		return leaders == 1, nil
	})
	if err != nil {
		return err
	}
	return f.clock.wait(ctx, f.clock.now()+2000)
}

// stop shuts all instances down.
func (f *fleet) stop(ctx context.Context) error {
	var errs []error
	for _, m := range f.managers {
		errs = append(errs, m.Shutdown(context.WithoutCancel(ctx)))
	}
	for _, c := range f.clients {
		errs = append(errs, f.b.servers.closeClient(c))
	}
	return errors.Join(errs...)
}

// begin begins a session without a request.
func (f *fleet) begin(ctx context.Context) (id string, err error) {
	t := token.New(token.Mark{}, token.Timeouts{Idle: time.Hour})
	return t.ID, f.p.create(ctx, t)
}

// visit begins a session with a closure on the first instance.
func (f *fleet) visit(ctx context.Context) (id string, err error) {
	w := httptest.NewRecorder()
	f.engine.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
	if w.Code != http.StatusOK {
		return "", fmt.Errorf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String(), nil
}

// other returns the i-th instance, counted again and again through all but the first. The first
// is returned only if there is no other.
func (f *fleet) other(i int) *lifecycle.Manager {
	if len(f.managers) == 1 {
		return f.managers[0]
	}
	return f.managers[1+i%(len(f.managers)-1)]
}

// counted is what the servers ran in some time: heartbeats, PINGs of subscriptions, and all
// other commands.
type counted struct {
	seconds, beats, pings float64
	calls                 calls
}

// count counts what the servers run while during runs.
func (f *fleet) count(ctx context.Context, during func() error) (c counted, err error) {
	if err := f.b.servers.resetCalls(ctx); err != nil {
		return c, err
	}
	beats, start := f.beats.n.Load(), time.Now()
	if err := during(); err != nil {
		return c, err
	}
	c.seconds, c.beats = time.Since(start).Seconds(), float64(f.beats.n.Load()-beats)
	all, err := f.b.servers.calls(ctx)
	c.calls = all.minus(f.beat.scaled(c.beats))
	c.pings = c.calls["ping"]
	delete(c.calls, "ping")
	return c, err
}

// beatCounting is a go-redis hook that counts heartbeats: calls of a script whose first key is
// the list of instances.
type beatCounting struct {
	key string
	n   atomic.Int64
}

// DialHook counts nothing.
func (h *beatCounting) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook counts nothing.
func (h *beatCounting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook counts a heartbeat.
func (h *beatCounting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); len(args) > 3 && args[3] == h.key {
			h.n.Add(1)
		}
		return next(ctx, cmd)
	}
}
