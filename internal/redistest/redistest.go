// Package redistest starts real Redis servers for tests, on loopback.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// RequireEnv makes a missing redis-server fail a test instead of skipping it.
const RequireEnv = "LIFECYCLE_REQUIRE_REDIS"

// Server is a running redis-server.
type Server struct {
	Addr string
	Dir  string

	path string
	args []string
	cmd  *exec.Cmd
	done chan struct{}
}

// Start starts a server that ends with the test. args are redis-server's.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := launch(t.TempDir(), args...)
	if err != nil {
		missing(t, err)
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop() })
	return s
}

func missing(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv(RequireEnv) == "" {
		t.Skip("redis-server is not installed; `make test` installs it, or see README, \"Tests\"")
	}
}

var shared = struct {
	sync.Mutex
	server *Server
}{}

// Shared returns the address of a server that all tests of the process use,
// each with its own prefix. Run must wrap them.
func Shared(t testing.TB) string {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		dir, err := os.MkdirTemp("", "lifecycle-redis-")
		if err != nil {
			t.Fatal(err)
		}
		s, err := launch(dir)
		if err != nil {
			_ = os.RemoveAll(dir)
			missing(t, err)
			t.Fatal(err)
		}
		shared.server = s
	}
	return shared.server.Addr
}

// Run runs the tests of a package, ends the shared server, if any, and returns
// the exit status, which is not 0 either if the tests have left goroutines behind.
func Run(m *testing.M) int {
	code := m.Run()
	Close()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// Close ends the shared server, if any.
func Close() {
	shared.Lock()
	defer shared.Unlock()
	if s := shared.server; s != nil {
		s.stop()
		_ = os.RemoveAll(s.Dir)
		shared.server = nil
	}
}

// Client returns a client of addr that is closed with the test.
func Client(t testing.TB, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func launch(dir string, args ...string) (*Server, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	for range 5 { // another process may take the port between the look and the start
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		s := &Server{
			Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
			Dir:  dir,
			path: path,
			args: append([]string{
				"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir,
				"--save", "", "--appendonly", "no", "--loglevel", "warning",
				"--enable-debug-command", "yes",
			}, args...),
		}
		if err = s.run(); err == nil {
			return s, nil
		}
		if !strings.Contains(err.Error(), "exited") {
			return nil, err
		}
	}
	return nil, errors.New("redistest: no redis-server would start")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// run starts the process and waits until it answers.
func (s *Server) run() error {
	s.cmd = exec.Command(s.path, s.args...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.done = make(chan struct{})
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1})
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if c.Ping(ctx).Err() == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("redistest: redis-server on %s exited", s.Addr)
		case <-ctx.Done():
			s.stop()
			return fmt.Errorf("redistest: redis-server on %s does not answer", s.Addr)
		case <-tick.C:
		}
	}
}

func (s *Server) stop() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Kill kills the server, as a crash would.
func (s *Server) Kill() { s.stop() }

// Restart starts a killed server again on the same port and files.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

// Pause stops the server's process: it is there and does not answer.
func (s *Server) Pause() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }
