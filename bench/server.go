package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// server is a redis-server of our own, on a private loopback port, that keeps
// nothing on disk. It lives as long as the context it was started with, and its
// directory goes with it.
type server struct {
	addr    string
	version string
	dir     string
	cmd     *exec.Cmd
	done    chan struct{}
	clients []*redis.Client
}

func startServer(ctx context.Context) (*server, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lifecycle-bench-")
	if err != nil {
		return nil, err
	}
	for range 5 { // another process may take the port between the look and the start
		s := &server{dir: dir, done: make(chan struct{})}
		if err = s.run(ctx, path); err == nil {
			return s, nil
		}
	}
	return nil, errors.Join(err, os.RemoveAll(dir))
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *server) run(ctx context.Context, path string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	s.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.cmd = exec.CommandContext(ctx, path, "--bind", "127.0.0.1", "--port", strconv.Itoa(port),
		"--dir", s.dir, "--save", "", "--appendonly", "no", "--loglevel", "warning",
		"--logfile", filepath.Join(s.dir, "redis.log"))
	// Even if this process is killed. A group of its own, so that a Ctrl-C ends
	// the program first and the server with it, not both at once.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = s.cmd.Wait() // killed, as a rule
		close(s.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	rdb := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1})
	defer func() { _ = rdb.Close() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for rdb.Ping(ctx).Err() != nil {
		select {
		case <-s.done:
			return fmt.Errorf("redis-server on %s exited at once", s.addr)
		case <-ctx.Done():
			s.kill()
			return fmt.Errorf("redis-server on %s does not answer", s.addr)
		case <-tick.C:
		}
	}
	info, err := s.info(ctx, rdb, "server")
	s.version = info["redis_version"]
	return err
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

func (s *server) stop() error {
	for _, c := range s.clients {
		_ = c.Close()
	}
	s.kill()
	return os.RemoveAll(s.dir)
}

// client returns a client with go-redis's defaults, as an application would
// make it, closed with the server. set may change the options.
func (s *server) client(set ...func(*redis.Options)) *redis.Client {
	o := &redis.Options{Addr: s.addr}
	for _, f := range set {
		f(o)
	}
	c := redis.NewClient(o)
	s.clients = append(s.clients, c)
	return c
}

// flush empties the server and takes its notification setting back, so that
// every measurement begins with the same server.
func (s *server) flush(ctx context.Context, rdb *redis.Client) error {
	if err := rdb.FlushAll(ctx).Err(); err != nil {
		return err
	}
	return rdb.ConfigSet(ctx, "notify-keyspace-events", "").Err()
}

// info reads one section of INFO.
func (s *server) info(ctx context.Context, rdb *redis.Client, section string) (map[string]string, error) {
	text, err := rdb.Info(ctx, section).Result()
	if err != nil {
		return nil, err
	}
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[k] = v
		}
	}
	return fields, nil
}

// serverClock translates local times, by their monotonic reading, into the Redis
// server's. It is good for a phase: over longer times the clocks drift.
type serverClock struct {
	local  time.Time
	server time.Time
}

// readClock aligns the clocks by the shortest of many round trips.
func readClock(ctx context.Context, rdb *redis.Client) (serverClock, error) {
	var c serverClock
	best := time.Hour
	for range 100 {
		sent := time.Now()
		at, err := rdb.Time(ctx).Result()
		if err != nil {
			return c, err
		}
		if rtt := time.Since(sent); rtt < best {
			best = rtt
			c = serverClock{local: sent.Add(rtt / 2), server: at}
		}
	}
	return c, nil
}

// ms returns the server's time at a local time, in Unix milliseconds.
func (c serverClock) ms(t time.Time) float64 {
	return float64(c.server.Add(t.Sub(c.local)).UnixMicro()) / 1000
}

func (c serverClock) now() int64 { return int64(c.ms(time.Now())) }

// wait waits until the server's clock shows ms.
func (c serverClock) wait(ctx context.Context, ms int64) error {
	t := time.NewTimer(time.Duration(ms-c.now()) * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
