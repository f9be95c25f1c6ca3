package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/token"
)

// costRun measures what the operations of one instance cost Redis. The instance serves
// several requests at the same time.
type costRun struct {
	*bench
	app     *contestant
	p       *population
	clock   serverClock
	cookies []string // of the sessions that the requests use
	idle    opCost   // of one second
}

// costOfRequests measures all operations of an instance.
func (b *bench) costOfRequests(ctx context.Context, c *costs) (err error) {
	const prefix = "cost"
	if err := b.servers.flush(ctx); err != nil {
		return err
	}
	r := &costRun{bench: b, cookies: make([]string, b.sizes.costs)}
	if r.p, err = newPopulation(ctx, b.servers, prefix, lifecycle.DefaultBuckets); err != nil {
		return err
	}
	var m *lifecycle.Manager
	if r.app, m, err = b.ours(ctx, b.servers.client(), prefix); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.app.close(context.WithoutCancel(ctx))) }()
	r.app.engine.GET("/visit", func(g *gin.Context) { answer(g, user, nil) })
	r.app.engine.GET("/destroy", func(g *gin.Context) { answer(g, user, lifecycle.From(g).DestroySession()) })
	if err := atWork(ctx, m); err != nil {
		return err
	}
	if r.clock, err = readClock(ctx, b.servers.admins[0]); err != nil {
		return err
	}
	// The logins also open connections and load scripts.
	if err := r.serve(ctx, "/login", func(i int, cookie string) { r.cookies[i] = cookie }); err != nil {
		return err
	}
	b.progress("cost: an idle second")
	c.idle, err = b.servers.using(ctx, 1, opCost{}, func() error {
		return r.clock.wait(ctx, r.clock.now()+b.sizes.idle.Milliseconds())
	})
	if err != nil {
		return err
	}
	c.idle = c.idle.times(1 / b.sizes.idle.Seconds())
	r.idle = c.idle
	b.progress("cost: %s of each operation", count(b.sizes.costs))
	if err := r.costOfLiveSessions(ctx, c); err != nil {
		return err
	}
	return r.costOfEnds(ctx, c)
}

// costOfLiveSessions measures what does not end a session.
func (r *costRun) costOfLiveSessions(ctx context.Context, c *costs) (err error) {
	if c.read, err = r.requests(ctx, "/read"); err != nil {
		return err
	}
	if c.fate, err = r.costOfFates(ctx); err != nil {
		return err
	}
	save, err := r.requests(ctx, "/save")
	c.save = save.minus(c.read)
	return err
}

// costOfEnds measures how sessions end, and first visits.
func (r *costRun) costOfEnds(ctx context.Context, c *costs) (err error) {
	left, err := r.servers.keyCount(ctx)
	if err != nil {
		return err
	}
	left -= 2 * int64(len(r.cookies)) // each session has a live key and a record
	destroy, err := r.using(ctx, func() error {
		return errors.Join(r.serve(ctx, "/destroy", nil), r.noMoreKeys(ctx, left))
	})
	if err != nil {
		return err
	}
	c.destroy = destroy.minus(c.read)
	clear(r.cookies)
	if c.visit, err = r.requests(ctx, "/visit"); err != nil {
		return err
	}
	if c.expire, err = r.costOfExpiry(ctx, expiryWindows*r.sizes.window); err != nil {
		return err
	}
	c.burst, err = r.costOfExpiry(ctx, time.Second)
	return err
}

// serve requests a page once with each of the cookies. If do is not nil, serve calls it with
// the cookie that each response sets.
func (r *costRun) serve(ctx context.Context, path string, do func(i int, cookie string)) error {
	const workers = 16
	return parallelN(ctx, workers, len(r.cookies), func(_, i int) error {
		app := *r.app
		app.cookie = r.cookies[i]
		cookie, err := app.do(app.request(ctx, path))
		if do != nil {
			do(i, cookie)
		}
		return err
	})
}

// requests returns what a request of a page costs.
func (r *costRun) requests(ctx context.Context, path string) (opCost, error) {
	return r.using(ctx, func() error { return r.serve(ctx, path, nil) })
}

// using returns what one operation costs, of as many as there are cookies, which during does.
func (r *costRun) using(ctx context.Context, during func() error) (opCost, error) {
	return r.servers.using(ctx, len(r.cookies), r.idle, during)
}

// costOfFates asks for each session whether it is still live, as an instance regularly does
// for those sessions of which it has a closure.
func (r *costRun) costOfFates(ctx context.Context) (opCost, error) {
	const batch = 256 // the instance asks for as many at a time
	ids := make([]string, len(r.cookies))
	for i, cookie := range r.cookies {
		t, ok := token.Parse(cookie, token.MarkOf(r.p.prefix, cookieName))
		if !ok {
			return opCost{}, errors.New("the library's cookie is not a token")
		}
		ids[i] = t.ID
	}
	return r.using(ctx, func() error {
		for some := range slices.Chunk(ids, batch) {
			for _, f := range r.p.ledger.Fates(ctx, some) {
				if f.Err != nil || f.Ended {
					return fmt.Errorf("the library says of a live session: %+v", f)
				}
			}
		}
		return nil
	})
}

// expiryWindows is how many windows of the lag it takes until all sessions have timed out
// that time out one by one. The more sessions time out at the same time, the less each costs.
const expiryWindows = 2

// costOfExpiry lets sessions time out, evenly over a window.
func (r *costRun) costOfExpiry(ctx context.Context, window time.Duration) (opCost, error) {
	n := len(r.cookies)
	keys, err := r.servers.keyCount(ctx)
	if err != nil {
		return opCost{}, err
	}
	begin := lead + time.Duration(3*float64(n)/r.p.rate*float64(time.Second))
	first := r.clock.now() + begin.Milliseconds()
	err = parallelN(ctx, seeders, n, func(_, i int) error {
		left := deadlineOf(i, n, first, window) - r.clock.now()
		return r.p.create(ctx, token.New(token.Mark{}, token.Timeouts{Idle: time.Duration(left) * time.Millisecond}))
	})
	if err != nil {
		return opCost{}, err
	}
	if err := r.clock.wait(ctx, first-100); err != nil {
		return opCost{}, err
	}
	return r.using(ctx, func() error {
		if err := r.clock.wait(ctx, first+window.Milliseconds()); err != nil {
			return err
		}
		return r.noMoreKeys(ctx, keys)
	})
}

// noMoreKeys waits until the servers have no more keys than most: all ends are acked then.
func (b *bench) noMoreKeys(ctx context.Context, most int64) error {
	return until(ctx, settleTime, "ends are not acked", func() (bool, error) {
		n, err := b.servers.keyCount(ctx)
		return n <= most, err
	})
}
