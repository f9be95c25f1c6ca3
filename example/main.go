// Command example is a small web application that shows how sessions begin and end. Sign in,
// write a few notes, and then sign out, wait for a timeout or stop the application: the page
// shows what the hooks report.
//
//	go run ./example                                     # with a Redis inside the process
//	go run ./example -redis redis://127.0.0.1:6379/0     # with a real Redis
//
// Read the files in this order:
//
//	main.go       the store, the hooks, start and stop
//	app.go        the handlers: log in, log out, and a hook for one session
//	workspace.go  what the application opens for a session and must close at its end
//	pages.go, journal.go, config.go  pages, the list of reports, the command line
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

// The timeouts are short, so that you can wait for the end of a session.
const (
	idleTimeout     = 20 * time.Second
	absoluteTimeout = 2 * time.Minute
)

func main() {
	os.Exit(program(os.Args[1:], os.Stdout, os.Stderr, idleTimeout, absoluteTimeout))
}

// program runs the application until a signal stops it. It returns the exit status: 0 after a
// clean stop, 1 after an error, 2 for wrong arguments.
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
	// The first signal begins a clean stop. After it, signals kill the process again: a second
	// Ctrl-C does not wait.
	context.AfterFunc(ctx, stop)

	if err := run(ctx, c, log.New(stdout, "", 0)); err != nil {
		log.New(stderr, "", 0).Printf("example: %v", err)
		return 1
	}
	return 0
}

// run serves until ctx ends. Then it stops everything, in the reverse order of its start. It
// returns nil after a clean stop.
func run(ctx context.Context, c config, out *log.Logger) (err error) {
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return fmt.Errorf("%w (choose another address with -addr)", err)
	}
	defer func() {
		if e := listener.Close(); !errors.Is(e, net.ErrClosed) { // lifecycle.Run closes it
			err = errors.Join(err, e)
		}
	}()

	client, server, err := openRedis(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()

	files, err := newWorkspaces()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.RemoveAll()) }()

	store, err := lifecycle.NewStore(client,
		lifecycle.WithPrefix("lifecycle-example"), // other programs may use the same Redis
		lifecycle.WithIdleTimeout(c.idle),
		lifecycle.WithAbsoluteTimeout(c.absolute),
		lifecycle.WithNotifications(c.redis != nil), // the in-process Redis has none
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
	// Run would wait for a Redis that is away. Here a wrong -redis is noticed at once.
	if err := lifecycle.Start(ctx, store); err != nil {
		if ctx.Err() != nil {
			return nil // a signal came meanwhile
		}
		return fmt.Errorf("%s: %w", server, err)
	}
	unless := context.AfterFunc(ctx, func() {
		out.Printf("stopping: finishing requests, then running the hooks that are left; open workspaces: %d; Ctrl-C again kills", files.Count())
	})
	defer unless()
	out.Printf("open http://%s - sessions are kept in %s; Ctrl-C stops", address(listener), server)
	err = lifecycle.Run(ctx, &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}, store, lifecycle.WithListener(listener))
	out.Printf("stopping: closing %s", server)
	return err
}

// address returns the host and port that a browser on this machine can open.
func address(l net.Listener) string {
	tcp, ok := l.Addr().(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return l.Addr().String()
	}
	return fmt.Sprintf("localhost:%d", tcp.Port)
}
