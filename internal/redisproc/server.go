package redisproc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// patience is the longest wait for a process.
const patience = 30 * time.Second

// Server is a redis-server process, or a Sentinel, which is redis-server too.
type Server struct {
	Addr string // host and port
	Dir  string // where its files are

	path string // of the redis-server program
	args []string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// Launch starts a server that has its files in dir, and waits until it answers. args are
// passed to redis-server. The error is exec.ErrNotFound if redis-server is not installed.
func Launch(dir string, args ...string) (*Server, error) {
	return launch(dir, func() ([]string, error) { return args, nil })
}

// launch starts a server. It calls args again with each try, because the arguments may
// contain a port, which may be taken.
func launch(dir string, args func() ([]string, error)) (*Server, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	for range 5 { // another process may take the port after FreePort has returned it
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		more, err := args()
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
			}, more...),
		}
		if err = s.run(); err == nil {
			return s, nil
		}
		if !strings.Contains(err.Error(), "exited") {
			return nil, err
		}
	}
	return nil, errors.New("redisproc: redis-server does not start: tried five times")
}

// The ports that FreePort returns lie below those that systems give to connections: Linux
// begins at 32768 (ip_local_port_range), others at 49152 (RFC 6335, 6). Otherwise any
// connection might take the port of a server that a test has killed and starts again.
const (
	firstPort = 10000
	lastPort  = 32767
)

// given holds the ports that FreePort has returned.
var given sync.Map

// FreePort returns a loopback port on which nothing listens at the moment. It returns each
// port once: what has got a port before may be about to listen on it, and a client may
// still look for a server there that was killed.
func FreePort() (int, error) {
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		_ = l.Close()
		if _, before := given.LoadOrStore(port, true); !before {
			return port, nil
		}
	}
	return 0, errors.New("redisproc: found no free port: tried a thousand times")
}

// run starts the process and waits until it answers.
func (s *Server) run() error {
	s.cmd = exec.Command(s.path, s.args...)
	// The server ends with this process, even if this process is killed.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.done = make(chan struct{})
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	c := s.dial()
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if c.Ping(ctx).Err() == nil {
			info, err := c.Info(ctx, "server").Result()
			if err == nil && !strings.Contains(info, fmt.Sprintf("process_id:%d\r", s.cmd.Process.Pid)) {
				err = fmt.Errorf("redisproc: another server listens on %s, ours exited", s.Addr)
				s.Stop()
			}
			return err
		}
		select {
		case <-s.done:
			return fmt.Errorf("redisproc: redis-server on %s exited", s.Addr)
		case <-ctx.Done():
			s.Stop()
			return fmt.Errorf("redisproc: redis-server on %s does not answer", s.Addr)
		case <-tick.C:
		}
	}
}

// dial returns a client that sends each command once.
func (s *Server) dial() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, ContextTimeoutEnabled: true})
}

// hostPort returns host and port apart, as Redis commands take them.
func (s *Server) hostPort() (host, port string) {
	host, port, _ = strings.Cut(s.Addr, ":")
	return host, port
}

// Running reports whether the process is running. A paused one is.
func (s *Server) Running() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Stop ends the process, if it is running, and waits until it has ended. Its files stay.
func (s *Server) Stop() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Kill kills the process, as a crash would, and waits until it has ended.
func (s *Server) Kill() { s.Stop() }

// Restart starts a killed server again, on the same port and with the same files and
// arguments, and with further arguments if there are any. It waits until the server
// answers.
func (s *Server) Restart(args ...string) error {
	s.args = append(s.args, args...)
	return s.run()
}

// Pause stops the process: it keeps its connections and does not answer.
func (s *Server) Pause() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }

// await calls ok until it returns nil. After patience it returns the last error of ok.
func await(what string, ok func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("redisproc: %s: %w", what, err)
		case <-tick.C:
		}
	}
}

// inSync returns an error until the replica is connected to its master and has loaded its
// data.
func (s *Server) inSync(ctx context.Context) error {
	c := s.dial()
	defer func() { _ = c.Close() }()
	text, err := c.Info(ctx, "replication").Result()
	if err == nil && !strings.Contains(text, "master_link_status:up") {
		err = fmt.Errorf("%s is not in sync", s.Addr)
	}
	return err
}
