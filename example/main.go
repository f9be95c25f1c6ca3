// Command example is a small web application whose sessions begin and end
// visibly: sign in, write a few notes, and watch what the hooks report when the
// session is signed out, times out or the application stops.
//
//	go run ./example                                     # needs nothing but Go
//	go run ./example -redis redis://127.0.0.1:6379/0     # a real Redis
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gin-lifecycle/lifecycle"
)

// The timeouts are short, so that one can sit and watch a session end.
const (
	idleTimeout     = 20 * time.Second
	absoluteTimeout = 2 * time.Minute
)

// How long a stop may take: requests are short, and so are the hooks. But
// http.Server waits 5 seconds for connections that a browser opened in advance.
const (
	requestsGrace = 10 * time.Second
	hooksGrace    = 10 * time.Second
)

func main() {
	os.Exit(program(os.Args[1:], os.Stdout, os.Stderr, idleTimeout, absoluteTimeout))
}

// program runs the application until a signal stops it and returns the exit
// status: 0 after a clean stop, 1 if it could not run, 2 for wrong arguments.
func program(args []string, stdout, stderr io.Writer, idle, absolute time.Duration) int {
	c, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	c.idle, c.absolute = idle, absolute

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for a clean stop; whoever sends another one will not
	// wait for it, so from then on signals do what they do by default.
	context.AfterFunc(ctx, stop)

	if err := run(ctx, c, log.New(stdout, "", 0)); err != nil {
		log.New(stderr, "", 0).Printf("example: %v", err)
		return 1
	}
	return 0
}

// run serves until ctx ends, then stops everything in the reverse order of its
// start. It returns nil after a clean stop.
func run(ctx context.Context, c config, out *log.Logger) (err error) {
	also := func(e error) { err = errors.Join(err, e) }

	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return fmt.Errorf("%w (choose another address with -addr)", err)
	}
	defer listener.Close() //nolint:errcheck // the server has closed it, unless nothing was served

	client, server, err := openRedis(c)
	if err != nil {
		return err
	}
	defer func() { also(client.Close()) }()

	files, err := newWorkspaces()
	if err != nil {
		return err
	}
	defer func() { also(files.RemoveAll()) }()

	store, err := lifecycle.NewStore(client,
		lifecycle.WithPrefix("lifecycle-example"), // whatever else is in that Redis
		lifecycle.WithIdleTimeout(c.idle),
		lifecycle.WithAbsoluteTimeout(c.absolute),
		lifecycle.WithNotifications(c.redis != nil), // the in-process one has none
		lifecycle.WithErrorHandler(fail))
	if err != nil {
		return err
	}
	a := &app{idle: c.idle, absolute: c.absolute, journal: newJournal(journalSize), workspaces: files}
	lifecycle.OnSessionCreated(a.sessionCreated)
	lifecycle.OnSessionDestroyed(a.sessionDestroyed)
	handler, err := a.handler(store)
	if err != nil {
		return err
	}
	// Now and not with the first request: sessions that ended while the
	// application was down are reported at once. It also finds a wrong -redis.
	if err := lifecycle.Start(ctx, store); err != nil {
		if ctx.Err() != nil {
			return nil // stopped while it tried
		}
		return fmt.Errorf("%s: %w", server, err)
	}
	defer func() {
		out.Printf("stopping: running the hooks that are left; open workspaces: %d", files.Count())
		ctx, cancel := context.WithTimeout(context.Background(), hooksGrace)
		defer cancel()
		also(lifecycle.Shutdown(ctx))
		out.Printf("stopping: closing %s", server)
	}()

	out.Printf("open http://%s - sessions are kept in %s; Ctrl-C stops", address(listener), server)
	return serve(ctx, &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}, listener, out)
}

// serve serves until ctx ends, and then the requests that have begun. This
// comes before lifecycle.Shutdown: a handler must still be able to register a hook.
func serve(ctx context.Context, s *http.Server, l net.Listener, out *log.Logger) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	out.Printf("stopping: finishing requests; Ctrl-C again kills")
	grace, cancel := context.WithTimeout(context.Background(), requestsGrace)
	defer cancel()
	if err := s.Shutdown(grace); err != nil {
		return errors.Join(fmt.Errorf("finish requests: %w", err), s.Close())
	}
	return nil
}

// address returns what a browser on this machine can open.
func address(l net.Listener) string {
	tcp, ok := l.Addr().(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return l.Addr().String()
	}
	return fmt.Sprintf("localhost:%d", tcp.Port)
}
