package suite_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gin-lifecycle/lifecycle"
	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// runner is an app that serves real connections with Manager.Run.
type runner struct {
	*app
	server *http.Server
	addr   string
	client *http.Client
	stop   context.CancelFunc // what a signal does to a program
	done   chan error         // what Run has returned
}

// run calls Run for the app, with a listener on loopback.
func (a *app) run(opts ...lifecycle.RunOption) *runner {
	a.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.t.Fatal(err)
	}
	r := &runner{app: a, server: &http.Server{Handler: a.router}, addr: l.Addr().String(), done: make(chan error, 1)}
	transport := new(http.Transport)
	r.client = &http.Client{Transport: transport}
	a.t.Cleanup(transport.CloseIdleConnections)
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	a.t.Cleanup(r.stop)
	a.cut = true // Run shuts the manager down
	go func() {
		r.done <- a.m.Run(ctx, r.server, append([]lifecycle.RunOption{lifecycle.WithListener(l)}, opts...)...)
	}()
	return r
}

// open requests a page, and returns the response as soon as its header has come. The body is
// closed when the test ends.
func (r *runner) open(path string) (status int, body io.Reader) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(redistest.Within(r.t), http.MethodGet, "http://"+r.addr+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp.StatusCode, resp.Body
}

// page requests a page and returns the body. It fails the test unless the status is 200.
func (r *runner) page(path string) string {
	r.t.Helper()
	status, body := r.open(path)
	text, err := io.ReadAll(body)
	if err != nil || status != http.StatusOK {
		r.t.Fatalf("GET %s: %d %s, %v", path, status, text, err)
	}
	return string(text)
}

// refuses waits until nobody accepts connections at the server's address.
func (r *runner) refuses() {
	r.t.Helper()
	redistest.Eventually(r.t, "the server accepts no more connections", func() bool {
		c, err := new(net.Dialer).DialContext(redistest.Within(r.t), "tcp", r.addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
}

// stopped waits until Run has returned, and fails the test unless the manager has been shut
// down.
func (r *runner) stopped() error {
	r.t.Helper()
	err := redistest.Receive(r.t, r.done)
	isShutDown(r.t, r.m)
	return err
}

func isShutDown(t testing.TB, m *lifecycle.Manager) {
	t.Helper()
	if err := m.Start(redistest.Within(t)); !errors.Is(err, lifecycle.ErrShutdown) {
		t.Errorf("the manager has not been shut down: Start returned %v", err)
	}
}

// holding adds a page that registers a closure. The channel gets "living" and the reason, or
// why the closure's context has ended.
func (a *app) holding() <-chan string {
	ran := make(chan string, 10)
	a.get("/closure", func(c *lifecycle.Context) {
		a.answer(c, register(c, func(ctx context.Context, s *lifecycle.Session) error {
			if err := ctx.Err(); err != nil {
				ran <- err.Error()
				return err
			}
			ran <- strings.Join([]string{"living", string(s.Reason)}, " ")
			return nil
		}))
	})
	return ran
}

// stream adds a page that sends a first line, and then waits until its context ends or
// release is closed. The channel gets the cause, or "released".
func (a *app) stream(release <-chan struct{}) <-chan string {
	ended := make(chan string, 10)
	a.get("/stream", func(c *lifecycle.Context) {
		c.String(http.StatusOK, "data: %s\n\n", idOf(c))
		c.Writer.Flush()
		ctx := c.Request.Context()
		select {
		case <-ctx.Done():
			ended <- context.Cause(ctx).Error()
		case <-release:
			ended <- "released"
		}
	})
	return ended
}
